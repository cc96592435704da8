//! Folders of PNG and JPEG files.

use std::fs;
use std::io::Cursor;

use flowkit::data::image_folder::{Labelling, read_dir, read_images};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use flowkit::data::{DataError, Images, read};
use tempfile::TempDir;

use super::{assert_messages, case, file, folder};

/// Pixel `(x, y)` is `[level, x, y]`.
pub(super) fn picture(level: u8, height: u32, width: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([level, x as u8, y as u8])).into()
}

pub(super) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(super) fn png(level: u8) -> Vec<u8> {
    encoded(&picture(level, 2, 3), ImageFormat::Png)
}

pub(super) fn levels(images: &Images) -> Vec<u8> {
    (0..images.len()).map(|i| images.image(i)[0]).collect()
}

/// A folder with a good image of 2x3, `a.png`, and the file given: before it in order of path if
/// its name is `A`.
fn with(name: &str, bytes: &[u8]) -> (TempDir, String) {
    let dir = folder();
    file(dir.path(), "a.png", &png(1));
    let path = file(dir.path(), name, bytes).display().to_string();
    (dir, path)
}

#[test]
fn bad_folders_are_named() {
    let alone = |sub: &str| {
        let dir = folder();
        file(dir.path(), sub, &png(1));
        dir
    };
    let (empty, one) = (folder(), alone("a.png"));
    let (no_test, no_train) = (alone("train/a.png"), alone("test/a.png"));
    let empty_test = alone("train/a.png");
    fs::create_dir(empty_test.path().join("test")).unwrap();
    let size = [2, 3];
    assert_messages(vec![
        case!(
            "no folder",
            read_images("/no/such/folder", size),
            DataError::Io { .. },
            "/no/such/folder"
        ),
        case!(
            "empty",
            read_dir(&empty, size, Labelling::Nothing),
            DataError::NoImages { .. },
            empty.path().display(),
            "png, jpg, jpeg"
        ),
        case!(
            "empty, any kind",
            read(&empty),
            DataError::Unrecognized { .. },
            empty.path().display(),
            "data_batch_*.bin and test_batch.bin",
            "train-images-idx3-ubyte",
            "png, jpg, jpeg"
        ),
        case!(
            "empty test, any kind",
            read(&empty_test),
            DataError::NoImages { .. },
            empty_test.path().join("test").display()
        ),
        case!(
            "one",
            read_dir(&one, size, Labelling::Nothing),
            DataError::NothingToHoldOut { found: 1, .. },
            one.path().display(),
            "found 1"
        ),
        case!(
            "no test",
            read_dir(&no_test, size, Labelling::Nothing),
            DataError::HalfSplit { missing: "test", .. },
            "no test folder"
        ),
        case!(
            "no train",
            read_dir(&no_train, size, Labelling::Nothing),
            DataError::HalfSplit { missing: "train", .. },
            "no train folder"
        ),
        case!(
            "empty test",
            read_dir(&empty_test, size, Labelling::Nothing),
            DataError::NoImages { .. },
            empty_test.path().join("test").display()
        ),
        case!(
            "no size",
            read_images(&one, [0, 3]),
            DataError::ImageShape { found: [3, 0, 3] },
            "[3, 0, 3]"
        ),
    ]);
}

#[test]
fn bad_images_are_named() {
    let size = [2, 3];
    let mut cases = Vec::new();
    let (dir, path) = with("b.png", &encoded(&picture(1, 3, 2), ImageFormat::Png));
    cases.push(case!(
        "wrong size",
        read_images(&dir, size),
        DataError::ImageSize { expected: [2, 3], found: [3, 2], .. },
        path,
        "3 high and 2 wide",
        "2 high and 3 wide"
    ));
    let plain = picture(1, 2, 3);
    for (name, other) in [
        ("L8", DynamicImage::from(plain.to_luma8())),
        ("La8", plain.to_luma_alpha8().into()),
        ("Rgba8", plain.to_rgba8().into()),
        ("Rgb16", plain.to_rgb16().into()),
        ("L16", plain.to_luma16().into()),
    ] {
        let (dir, path) = with("b.png", &encoded(&other, ImageFormat::Png));
        cases.push(case!(
            name,
            read_images(&dir, size),
            DataError::ColorType { .. },
            path,
            name,
            "expected colour type Rgb8"
        ));
    }
    let (dir, path) = with("b.jpg", &encoded(&plain.to_luma8().into(), ImageFormat::Jpeg));
    cases.push(case!(
        "gray JPEG",
        read_images(&dir, size),
        DataError::ColorType { .. },
        path,
        "L8"
    ));
    let whole = encoded(&picture(1, 2, 3), ImageFormat::Png);
    let jpeg = encoded(&picture(1, 64, 64), ImageFormat::Jpeg);
    for (what, name, bytes, size) in [
        ("no bytes", "b.png", &[][..], size),
        ("text", "b.jpeg", b"not an image", size),
        ("PNG signature only", "b.png", &whole[..8], size),
        ("half a PNG", "b.png", &whole[..whole.len() - 20], size),
        ("half a JPEG", "A.jpg", &jpeg[..jpeg.len() / 2 + 200], [64, 64]),
        ("JPEG without its end", "A.jpg", &jpeg[..jpeg.len() - 2], [64, 64]),
    ] {
        let (dir, path) = with(name, bytes);
        cases.push(case!(
            what,
            read_images(&dir, size),
            DataError::Undecodable { .. },
            path,
            "cannot be decoded"
        ));
    }
    assert_messages(cases);
}

#[test]
fn images_come_at_any_depth_in_order_of_path_as_planes() {
    let dir = folder();
    file(dir.path(), "b/deep/x.PNG", &png(3));
    file(dir.path(), "a.png", &png(1));
    file(dir.path(), "b/a.jpg", &png(2)); // content decides, not the ending
    file(dir.path(), "b/notes.txt", b"not an image");
    fs::create_dir(dir.path().join("folder.png")).unwrap();
    let images = read_images(&dir, [2, 3]).unwrap();
    assert_eq!(levels(&images), [1, 2, 3]);
    assert_eq!(images.image(1), [2, 2, 2, 2, 2, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 1, 1, 1]);
}

#[test]
fn jpeg_is_read() {
    let dir = folder();
    file(
        dir.path(),
        "a.jpeg",
        &encoded(&RgbImage::from_pixel(32, 32, Rgb([200, 200, 200])).into(), ImageFormat::Jpeg),
    );
    let images = read_images(&dir, [32, 32]).unwrap();
    // flat gray: only rounding in the colour transform is lost
    assert!(images.image(0).iter().all(|&level| level.abs_diff(200) <= 1));
}

#[test]
fn the_split_is_the_folders_or_every_tenth() {
    let two = folder();
    file(two.path(), "train/a.png", &png(1));
    file(two.path(), "test/a.png", &png(2));
    file(two.path(), "cover.png", &png(3));
    let split = read_dir(&two, [2, 3], Labelling::Nothing).unwrap();
    assert_eq!((levels(&split.train), levels(&split.test)), (vec![1], vec![2]));

    for (n, expected) in
        [(2, vec![1]), (9, vec![8]), (10, vec![9]), (19, vec![9]), (25, vec![9, 19])]
    {
        let dir = folder();
        (0..n).for_each(|i| drop(file(dir.path(), &format!("{i:02}.png"), &png(i))));
        let split = read_dir(&dir, [2, 3], Labelling::Nothing).unwrap();
        assert_eq!(levels(&split.test), expected, "of {n}");
        assert_eq!(split.train.len() + split.test.len(), usize::from(n));
        assert!(levels(&split.train).iter().all(|level| !expected.contains(level)));
    }
}

#[test]
fn an_image_folder_is_recognized() {
    let dir = folder();
    (0..2).for_each(|i| {
        drop(file(dir.path(), &format!("{i}.png"), &encoded(&picture(i, 32, 32), ImageFormat::Png)))
    });
    let split = read(&dir).unwrap();
    assert_eq!((levels(&split.train), levels(&split.test)), (vec![0], vec![1]));
}

#[test]
fn the_sheets_of_photographs_are_whole_tiles_of_rgb() {
    for (bytes, height) in [
        (&include_bytes!("../../src/data/photographs/train.png")[..], 1024),
        (include_bytes!("../../src/data/photographs/test.png"), 128),
    ] {
        let sheet = image::load_from_memory(bytes).unwrap();
        assert_eq!(
            (sheet.color(), sheet.width(), sheet.height()),
            (image::ColorType::Rgb8, 1024, height)
        );
    }
}

#[test]
fn folders_are_classes_if_asked_for() {
    let dir = folder();
    for (path, level) in [
        ("train/dog/a.png", 1),
        ("train/cat/x/b.png", 2),
        ("test/cow/a.png", 3),
        ("test/dog/a.png", 4),
    ] {
        file(dir.path(), path, &png(level));
    }
    let split = read_dir(&dir, [2, 3], Labelling::SubFolder).unwrap();
    let named = |images: &Images| -> Vec<(u8, String)> {
        let labels = images.labels().unwrap();
        let name = |i| labels.names()[usize::from(labels.get(i))].clone();
        (0..images.len()).map(|i| (images.image(i)[0], name(i))).collect()
    };
    assert_eq!(named(&split.train), [(2, "cat".into()), (1, "dog".into())]);
    assert_eq!(named(&split.test), [(3, "cow".into()), (4, "dog".into())]);
    for set in [&split.train, &split.test] {
        assert_eq!(set.labels().unwrap().names(), ["cat", "cow", "dog"], "classes of both sets");
    }
    assert_eq!(read_dir(&dir, [2, 3], Labelling::Nothing).unwrap().train.labels(), None);

    let stray = file(dir.path(), "train/stray.png", &png(5)).display().to_string();
    assert_messages(vec![case!(
        "an image in no class",
        read_dir(&dir, [2, 3], Labelling::SubFolder),
        DataError::NoClassFolder { .. },
        stray
    )]);
}

#[test]
fn held_out_images_keep_their_classes() {
    let dir = folder();
    for i in 0..4 {
        file(dir.path(), &format!("{}/{i}.png", ["a", "b"][i % 2]), &png(i as u8));
    }
    // In order of path: a/0, a/2, b/1, b/3.
    let split = read_dir(&dir, [2, 3], Labelling::SubFolder).unwrap();
    assert_eq!((levels(&split.train), levels(&split.test)), (vec![0, 2, 1], vec![3]));
    let labels = split.train.labels().unwrap();
    assert_eq!([0, 1, 2].map(|i| labels.get(i)), [0, 0, 1]);
    assert_eq!(split.test.labels().unwrap().get(0), 1);
}
