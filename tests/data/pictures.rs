//! What stands in PNG and JPEG files beside levels of red, green and blue: orientations, frames,
//! inks, what follows their ends.

use std::path::Path;

use flowkit::data::image_folder::{Labelling, read_dir, read_images};
use flowkit::data::{DataError, Images, LayoutError, Remark};
use image::{ImageFormat, Rgb, RgbImage};

use super::image_folder::{encoded, picture, png};
use super::{assert_messages, case, file, folder};

/// EXIF data of two entries, the second of which is the orientation, in either order of bytes.
fn exif(orientation: u16, is_big: bool) -> Vec<u8> {
    let short = |number: u16| if is_big { number.to_be_bytes() } else { number.to_le_bytes() };
    let long = |number: u32| if is_big { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut bytes = if is_big { b"MM".to_vec() } else { b"II".to_vec() };
    bytes.extend(short(42));
    bytes.extend(long(8)); // where the directory begins
    bytes.extend(short(2));
    for (tag, value) in [(0x0100, 7), (0x0112, orientation)] {
        bytes.extend([short(tag), short(3)].concat()); // one number of 16 bits
        bytes.extend(long(1));
        bytes.extend([short(value), [0; 2]].concat());
    }
    bytes.extend(long(0));
    bytes
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&name[..], data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// A PNG file with chunks behind its header, 33 bytes long, and before its end, 12 bytes long.
fn png_with(png: &[u8], behind_header: &[u8], before_end: &[u8]) -> Vec<u8> {
    let (header, rest) = png.split_at(33);
    let (image, end) = rest.split_at(rest.len() - 12);
    [header, behind_header, image, before_end, end].concat()
}

fn jpeg_with(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let segment = [b"Exif\0\0", exif].concat();
    let length = (2 + segment.len() as u16).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &segment, &jpeg[2..]].concat()
}

fn read_one(bytes: &[u8], size: [usize; 2]) -> Result<Images, DataError> {
    let dir = folder();
    file(dir.path(), "a.png", bytes);
    read_images(&dir, size)
}

/// Where a pixel that is shown in row `y`, column `x` is in a file of `[height, width]`: EXIF 2.32,
/// tag 274.
fn source(orientation: u16, [y, x]: [usize; 2], [height, width]: [usize; 2]) -> [usize; 2] {
    match orientation {
        2 => [y, width - 1 - x],
        3 => [height - 1 - y, width - 1 - x],
        4 => [height - 1 - y, x],
        5 => [x, y],
        6 => [height - 1 - x, y],
        7 => [height - 1 - x, width - 1 - y],
        8 => [x, width - 1 - y],
        _ => [y, x],
    }
}

fn shown(orientation: u16, [height, width]: [usize; 2]) -> [usize; 2] {
    if orientation >= 5 { [width, height] } else { [height, width] }
}

fn turned(image: &[u8], orientation: u16, size: [usize; 2]) -> Vec<u8> {
    let [height, width] = shown(orientation, size);
    let mut pixels = Vec::new();
    for plane in image.chunks_exact(size[0] * size[1]) {
        for at in 0..height * width {
            let [y, x] = source(orientation, [at / width, at % width], size);
            pixels.push(plane[y * size[1] + x]);
        }
    }
    pixels
}

#[test]
fn images_come_as_they_are_shown() {
    let (png_size, jpeg_size) = ([2, 3], [16, 24]);
    // Blocks of 8x8 of one colour each: JPEG keeps them apart.
    let blocks = RgbImage::from_fn(24, 16, |x, y| {
        Rgb([(40 + 70 * (x / 8)) as u8, (60 + 100 * (y / 8)) as u8, 90])
    });
    let (plain_png, plain_jpeg) = (png(7), encoded(&blocks.into(), ImageFormat::Jpeg));
    let upright =
        [read_one(&plain_png, png_size).unwrap(), read_one(&plain_jpeg, jpeg_size).unwrap()];
    for orientation in 1..=8 {
        for is_big in [false, true] {
            let exif = exif(orientation, is_big);
            let of_png = chunk(b"eXIf", &exif);
            let prefixed = chunk(b"eXIf", &[b"Exif\0\0", &exif[..]].concat());
            for (what, bytes, upright, size) in [
                ("PNG", png_with(&plain_png, &of_png, &[]), &upright[0], png_size),
                (
                    "PNG, behind the image",
                    png_with(&plain_png, &[], &of_png),
                    &upright[0],
                    png_size,
                ),
                ("PNG, as in JPEG", png_with(&plain_png, &prefixed, &[]), &upright[0], png_size),
                ("JPEG", jpeg_with(&plain_jpeg, &exif), &upright[1], jpeg_size),
            ] {
                let found = read_one(&bytes, shown(orientation, size)).unwrap();
                assert_eq!(
                    found.image(0),
                    turned(upright.image(0), orientation, size),
                    "{what}, {orientation}, {is_big}"
                );
            }
        }
    }
}

#[test]
fn sizes_are_those_shown_and_turned_images_are_told() {
    let dir = folder();
    let on_its_side = |level| {
        png_with(
            &encoded(&picture(level, 3, 2), ImageFormat::Png),
            &chunk(b"eXIf", &exif(6, true)),
            &[],
        )
    };
    file(dir.path(), "a.png", &png(1));
    let b = file(dir.path(), "b.png", &on_its_side(2));
    let c = file(dir.path(), "c.png", &png_with(&png(3), &chunk(b"eXIf", &exif(3, true)), &[]));
    let split = read_dir(&dir, [2, 3], Labelling::Nothing).unwrap();
    assert_eq!(split.report.of(Remark::Turned).collect::<Vec<_>>(), [&b, &c]);
    // None of 1 to 8, and none that can be read: upright.
    for exif in
        [exif(0, true), exif(9, false), exif(6, true)[..20].to_vec(), b"no EXIF".to_vec(), vec![]]
    {
        let found = read_one(&png_with(&png(1), &chunk(b"eXIf", &exif), &[]), [2, 3]).unwrap();
        assert_eq!(found.image(0), split.train.image(0));
    }
    let wrong = read_one(&on_its_side(1), [3, 2]);
    assert_messages(vec![case!(
        "the size of the file",
        wrong,
        DataError::ImageSize { expected: [3, 2], found: [2, 3], .. },
        "2 high and 3 wide"
    )]);
}

/// A JPEG file of 8x8 with four colours to a pixel, whose scan is empty.
fn cmyk() -> Vec<u8> {
    let jpeg = encoded(&picture(1, 8, 8), ImageFormat::Jpeg);
    let mut bytes = jpeg[..2].to_vec();
    let mut at = 2;
    while jpeg[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        // Tables alone, of which the first serves all colours.
        if matches!(jpeg[at + 1], 0xdb | 0xc4) {
            bytes.extend(&jpeg[at..end]);
        }
        at = end;
    }
    let colors = [1, 2, 3, 4];
    bytes.extend([0xff, 0xc0, 0, 20, 8, 0, 8, 0, 8, 4]);
    bytes.extend(colors.iter().flat_map(|&color| [color, 0x11, 0]));
    bytes.extend([0xff, 0xda, 0, 14, 4]);
    bytes.extend(colors.iter().flat_map(|&color| [color, 0]));
    bytes.extend([0, 63, 0, 0, 0, 0, 0xff, 0xd9]);
    bytes
}

#[test]
fn what_would_lose_something_is_refused() {
    let control = |sequence: u8, [width, height]: [u8; 2]| {
        let size = [0, 0, 0, width, 0, 0, 0, height, 0, 0, 0, 0, 0, 0, 0, 0];
        chunk(b"fcTL", &[&[0, 0, 0, sequence], &size[..], &[0, 1, 0, 10, 0, 0]].concat())
    };
    let plays = chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]);
    let frame = chunk(b"fdAT", &[0, 0, 0, 2, 1, 2, 3]);
    let animated = png_with(
        &png(1),
        &[plays, control(0, [3, 2])].concat(),
        &[control(1, [3, 2]), frame].concat(),
    );
    let bitmap = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0";
    let half = encoded(&picture(1, 64, 64), ImageFormat::Jpeg);
    // Its thumbnail is whole.
    let thumbnail = [exif(1, true), encoded(&picture(1, 8, 8), ImageFormat::Jpeg)].concat();
    let with_thumbnail = jpeg_with(&half[..half.len() / 2 + 200], &thumbnail);
    assert_messages(vec![
        case!(
            "animated",
            read_one(&animated, [2, 3]),
            DataError::Layout(LayoutError::Animated { .. }),
            "a.png",
            "animated PNG"
        ),
        case!(
            "CMYK",
            read_one(&cmyk(), [8, 8]),
            DataError::ColorType { .. },
            "a.png",
            "Cmyk8",
            "expected colour type Rgb8"
        ),
        case!(
            "another format",
            read_one(bitmap, [2, 3]),
            DataError::Undecodable { .. },
            "Bmp, neither PNG nor JPEG"
        ),
        case!(
            "GIF",
            read_one(b"GIF89a\x03\0\x02\0", [2, 3]),
            DataError::Undecodable { .. },
            "Gif, neither PNG nor JPEG"
        ),
        case!(
            "half a JPEG with a whole thumbnail",
            read_one(&with_thumbnail, [64, 64]),
            DataError::Undecodable { .. },
            "truncated"
        ),
    ]);
}

#[test]
fn what_follows_the_end_of_an_image_does_not_matter() {
    let jpeg = encoded(&picture(1, 16, 16), ImageFormat::Jpeg);
    // As in the photographs of telephones that append a film.
    let film = [&jpeg[..], b"ftyp", &[0xff, 0xda, 0, 3, 0xff, 0xc0, 1]].concat();
    assert_eq!(read_one(&film, [16, 16]).unwrap(), read_one(&jpeg, [16, 16]).unwrap());
    let png = png(1);
    let more = [&png[..], &chunk(b"eXIf", &exif(6, true)), b"more"].concat();
    assert_eq!(read_one(&more, [2, 3]).unwrap(), read_one(&png, [2, 3]).unwrap());
}

/// No file makes a reader panic, or wait, or ask for more memory than it has bytes and its header
/// has pixels.
#[test]
fn damaged_files_are_errors_or_images() {
    let jpeg = encoded(&picture(1, 16, 16), ImageFormat::Jpeg);
    let exif = exif(6, false);
    let files = [
        png_with(&png(1), &chunk(b"eXIf", &exif), &chunk(b"eXIf", &exif)),
        jpeg_with(&jpeg, &exif),
        cmyk(),
    ];
    for (bytes, size) in files.iter().zip([[3, 2], [16, 16], [8, 8]]) {
        for at in 0..bytes.len().min(150) {
            for value in [0, 0xff, bytes[at] ^ 1] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                drop(read_one(&damaged, size));
            }
            drop(read_one(&bytes[..at], size));
        }
    }
    assert!(read_images(Path::new("/no/such/folder"), [2, 3]).is_err());
}
