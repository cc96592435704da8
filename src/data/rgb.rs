//! From interleaved colours to planes.

use image::RgbImage;

/// Appends the `[3, height, width]` planes of the window of `image` whose top left corner is
/// `[top, left]`. Interleaved colours become planes.
pub(super) fn push_planes(
    pixels: &mut Vec<u8>,
    image: &RgbImage,
    [top, left]: [u32; 2],
    [height, width]: [u32; 2],
) {
    for channel in 0..3 {
        for y in top..top + height {
            pixels.extend((left..left + width).map(|x| image.get_pixel(x, y)[channel]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_comes_out_plane_after_plane() {
        // pixel (x, y) is [10 y + x, 100 + 10 y + x, 200 + 10 y + x]
        let image = RgbImage::from_fn(4, 3, |x, y| {
            let at = (10 * y + x) as u8;
            [at, 100 + at, 200 + at].into()
        });
        let mut pixels = vec![1];
        push_planes(&mut pixels, &image, [1, 2], [2, 2]);
        assert_eq!(pixels, [1, 12, 13, 22, 23, 112, 113, 122, 123, 212, 213, 222, 223]);
    }
}
