//! The photographs that the crate contains.

use image::{ImageFormat, RgbImage};

use super::{Images, Split, rgb::push_planes};

const TILE: u32 = 32;

/// The photographs embedded in the crate: 1,024 training and 128 test images, `[n, 3, 32, 32]`.
///
/// Real data for a first run and for tests, without a download. They are 32x32 tiles of four
/// photographs at half size, stored losslessly. The test tiles come from the right 18 % of each
/// photograph, so the two sets share no pixel. They do share the four scenes: bits/dim on them
/// compare one flow with another, but do not measure a model of natural images in general.
///
/// | photograph | author | licence |
/// |---|---|---|
/// | astronaut | NASA | public domain |
/// | chelsea, a cat | Stefan van der Walt | CC0 |
/// | coffee | Rachel Michetti | CC0 |
/// | rocket | SpaceX | public domain |
///
/// The photographs are those distributed with scikit-image 0.26.
///
/// # Example
///
/// ```
/// let split = flowkit::data::photographs();
/// assert_eq!((split.train.len(), split.test.len()), (1024, 128));
/// assert_eq!(split.train.shape(), [3, 32, 32]);
/// ```
///
/// # Panics
///
/// Never: the bytes are part of the crate, and a test decodes them.
pub fn photographs() -> Split {
    let sheets =
        [&include_bytes!("photographs/train.png")[..], include_bytes!("photographs/test.png")];
    let [train, test] = sheets.map(tiles);
    Split::new(train, test)
}

/// The tiles of a sheet, row by row.
fn tiles(png: &[u8]) -> Images {
    let sheet = decode(png);
    let mut pixels = Vec::with_capacity(sheet.as_raw().len());
    for row in 0..sheet.height() / TILE {
        for column in 0..sheet.width() / TILE {
            push_planes(&mut pixels, &sheet, [row * TILE, column * TILE], [TILE, TILE]);
        }
    }
    let side = TILE as usize;
    Images::new(pixels, [3, side, side]).expect("whole tiles were pushed")
}

fn decode(png: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(png, ImageFormat::Png)
        .expect("the embedded sheet is a PNG file")
        .into_rgb8()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiles_are_those_of_the_sheet() {
        let test = photographs().test;
        let sheet = decode(include_bytes!("photographs/test.png"));
        assert_eq!(sheet.dimensions(), (1024, 128));
        // tile 69 is the sixth of the third row; its green pixel in row 3, column 30
        let pixel = sheet.get_pixel(5 * 32 + 30, 2 * 32 + 3);
        assert_eq!(test.image(69)[1024 + 3 * 32 + 30], pixel[1]);
    }
}
