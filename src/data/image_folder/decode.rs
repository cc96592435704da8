//! Decodes one image file to planes of bytes.

use std::{io::Cursor, path::Path};

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::{jpeg_segments::JpegSegments, png_chunks::PngChunks};
use crate::data::{DataError, LayoutError, rgb::push_planes};
use crate::whole_file;

/// Most bytes of a file: 256 MiB, several times the size of the largest camera pictures.
const MAX_BYTES: u64 = 1 << 28;

/// Appends the planes of one file. Returns whether they had to be turned. The header is checked
/// before the pixels are decoded.
pub(super) fn push_file(
    pixels: &mut Vec<u8>,
    path: &Path,
    expected: [usize; 2],
) -> Result<bool, DataError> {
    let undecodable = |reason: String| DataError::Undecodable { path: path.into(), reason };
    let refused = |error: ImageError| undecodable(error.to_string());
    let color = |found: String| DataError::ColorType { path: path.into(), expected: "Rgb8", found };
    let bytes = whole_file::read(path, MAX_BYTES).map_err(DataError::io(path))?;
    let reader =
        ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(DataError::io(path))?;
    let format =
        reader.format().filter(|format| [ImageFormat::Png, ImageFormat::Jpeg].contains(format));
    let format = format.ok_or_else(|| match reader.format() {
        Some(other) => undecodable(format!("its content is {other:?}, neither PNG nor JPEG")),
        None => undecodable("its first bytes are neither those of PNG nor of JPEG".into()),
    })?;
    let mut decoder = reader.into_decoder().map_err(refused)?;
    let orientation = if format == ImageFormat::Png {
        let PngChunks { exif, is_animated } = PngChunks::of(&bytes);
        if is_animated {
            return Err(LayoutError::Animated { path: path.into() }.into());
        }
        exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
    } else {
        decoder.orientation().map_err(refused)?
    };
    // The size in the orientation in which viewers show the image.
    let found = match (decoder.dimensions(), swaps_sides(orientation)) {
        ((width, height), false) | ((height, width), true) => [height as usize, width as usize],
    };
    if found != expected {
        return Err(DataError::ImageSize { path: path.into(), expected, found });
    }
    if decoder.color_type() != ColorType::Rgb8 {
        return Err(color(format!("{:?}", decoder.color_type())));
    }
    if format == ImageFormat::Jpeg {
        let JpegSegments { n_components, ends } = JpegSegments::of(&bytes);
        // The decoder would convert CMYK inks to colours, for which there is no standard.
        if n_components.is_some_and(|n| n > 3) {
            return Err(color("Cmyk8".into()));
        }
        if !ends {
            return Err(undecodable(
                "JPEG without an end-of-image marker, so it is truncated".into(),
            ));
        }
    }
    let mut image = DynamicImage::from_decoder(decoder).map_err(refused)?;
    image.apply_orientation(orientation);
    push_planes(pixels, &image.into_rgb8(), [0, 0], [found[0] as u32, found[1] as u32]);
    Ok(orientation != Orientation::NoTransforms)
}

fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH)
}
