//! PNG and JPEG files, with what cameras and editors write into them.

use std::io::Cursor;

use flowkit::data::DataError;
use flowkit::data::image_folder::read_images;
use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;

use super::bytes::{edited, edits};
use super::target::{DEFLATE, Target, corpus, fuzz, named};

/// Largest side that is asked for: with the size of its header, as a caller does who believes the
/// file.
const SIDE: usize = 64;

/// The checksums of PNG's chunks made right, as far as the chunks are whole.
fn with_checksums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let (start, end) = (at + 4, (at + 8).saturating_add(length));
        let Some(body) = png.get(start..end) else { return };
        let checksum = crc32fast::hash(body).to_be_bytes();
        let Some(place) = png.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&checksum);
        at = end + 4;
    }
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(16, 8, |x, y| Rgb([(x * 16) as u8, (y * 32) as u8, 77]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn image_files() {
    let mut seeds = vec![encoded(ImageFormat::Png), encoded(ImageFormat::Jpeg)];
    seeds.extend(corpus("images"));
    let target = Target { name: "images", file: "a.png", expansion: DEFLATE };
    let strategy = (any::<prop::sample::Index>(), edits(4), prop::bool::weighted(0.8));
    let build = |(seed, edits, is_mended): &(prop::sample::Index, Vec<_>, bool)| {
        let mut bytes = edited(&seeds[seed.index(seeds.len())], edits, &seeds);
        if *is_mended && bytes.starts_with(b"\x89PNG") {
            with_checksums(&mut bytes);
        }
        bytes
    };
    fuzz(&target, &seeds, strategy, build, |input| {
        let folder = input.path.parent().unwrap();
        let mut size = [8, 16];
        let mut found = read_images(folder, size);
        if let Err(DataError::ImageSize { found: shown, .. }) = found
            && shown.iter().all(|side| (1..=SIDE).contains(side))
        {
            size = shown;
            found = read_images(folder, size);
        }
        if let Some(images) = named(found) {
            assert_eq!((images.len(), images.shape()), (1, [3, size[0], size[1]]));
        }
    });
}
