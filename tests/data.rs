//! Data sets from disk: what is read, and that every bad input is named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flowkit::data::{Batches, DataError, Images, chunks, cifar10, read};
use tempfile::TempDir;

/// `(what, the error, fragments of its message)`: the variant is checked by `matches!` where the case is made.
type Case = (&'static str, DataError, Vec<String>);

macro_rules! case {
    ($what:expr, $result:expr, $variant:pat, $($fragment:expr),+) => {{
        let error = $result.map(|_| ()).expect_err($what);
        assert!(matches!(error, $variant), "{}: {error:?}", $what);
        ($what, error, vec![$($fragment.to_string()),+])
    }};
}

fn assert_messages(cases: Vec<Case>) {
    for (what, error, fragments) in cases {
        let message = error.to_string();
        for fragment in fragments {
            assert!(message.contains(&fragment), "{what}: \"{message}\" does not name {fragment}");
        }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// Record `i` has label `i` and pixels that count on from `first`.
fn records(n: u8, first: u8) -> Vec<u8> {
    let record = |i: u8| [vec![i], (0..3072).map(|j| first.wrapping_add(i).wrapping_add(j as u8)).collect()].concat();
    (0..n).flat_map(record).collect()
}

#[test]
fn bad_sets_and_batches_are_named() {
    let images = |n: usize, shape| Images::new(vec![0; n], shape);
    assert_messages(vec![
        case!("zero dimension", images(0, [3, 0, 2]), DataError::ImageShape { found: [3, 0, 2] }, "[3, 0, 2]"),
        case!("overflow", images(0, [usize::MAX, 2, 1]), DataError::ImageShape { .. }, usize::MAX),
        case!("part of an image", images(13, [3, 2, 2]), DataError::PixelCount { expected: 12, found: 13 }, 12, 13),
        case!(
            "shapes",
            images(8, [1, 2, 4]).unwrap().concat(&images(8, [1, 4, 2]).unwrap()),
            DataError::ShapesDiffer { expected: [1, 2, 4], found: [1, 4, 2] },
            "[1, 2, 4]",
            "[1, 4, 2]"
        ),
        case!("batch of 0", Batches::new(5, 0, 1), DataError::BatchOfZero, "batch size of 0"),
        case!("chunk of 0", chunks(5, 0), DataError::BatchOfZero, "batch size of 0"),
        case!("batch of 6", Batches::new(5, 6, 1), DataError::BatchTooLarge { batch_size: 6, n_items: 5 }, 6, 5),
        case!("empty set", Batches::new(0, 1, 1), DataError::BatchTooLarge { batch_size: 1, n_items: 0 }, 1, 0),
    ]);
}

#[test]
fn bad_cifar_10_is_named() {
    let dir = folder();
    let name = |name: &str| dir.path().join(name).display().to_string();
    let with = |file_name: &str, bytes: &[u8]| cifar10::read_file(file(dir.path(), file_name, bytes));
    let mut mislabelled = records(4, 0);
    mislabelled[2 * 3073] = 17;

    let no_test = folder();
    file(no_test.path(), "data_batch_1.bin", &records(1, 0));
    let no_train = folder();
    file(no_train.path(), "test_batch.bin", &records(1, 0));
    let bad_second = folder();
    file(bad_second.path(), "data_batch_1.bin", &records(1, 0));
    let second = file(bad_second.path(), "data_batch_2.bin", &records(2, 0)[..3073 + 9]);
    file(bad_second.path(), "test_batch.bin", &records(1, 0));

    assert_messages(vec![
        case!("no file", cifar10::read_file(name("none.bin")), DataError::Io { .. }, name("none.bin")),
        case!("empty", with("empty.bin", &[]), DataError::EmptyFile { .. }, name("empty.bin"), 3073),
        case!(
            "less than a record",
            with("short.bin", &[0; 100]),
            DataError::TruncatedRecord { record: 0, expected: 3073, found: 100, .. },
            name("short.bin"),
            "record 0",
            "100 of 3073"
        ),
        case!(
            "part of a record",
            with("cut.bin", &records(3, 0)[..3 * 3073 - 1]),
            DataError::TruncatedRecord { record: 2, expected: 3073, found: 3072, .. },
            name("cut.bin"),
            "record 2",
            "3072 of 3073"
        ),
        case!(
            "label",
            with("label.bin", &mislabelled),
            DataError::LabelOutOfRange { record: 2, max: 9, found: 17, .. },
            name("label.bin"),
            "record 2",
            "label 17",
            "0 to 9"
        ),
        case!("no folder", cifar10::read_dir(name("none")), DataError::Io { .. }, name("none")),
        case!("nothing to read", read(name("none")), DataError::Io { .. }, name("none")),
        case!(
            "no training files",
            cifar10::read_dir(&no_train),
            DataError::NoTrainBatches { .. },
            no_train.path().display(),
            "data_batch_*.bin"
        ),
        case!("no training files, any kind", read(&no_train), DataError::NoTrainBatches { .. }, "data_batch_*.bin"),
        case!(
            "no test file",
            read(&no_test),
            DataError::NoTestBatch { .. },
            no_test.path().join("test_batch.bin").display()
        ),
        case!("the second file", read(&bad_second), DataError::TruncatedRecord { .. }, second.display(), "record 1"),
    ]);
    let source = std::error::Error::source(&cifar10::read_file(name("none.bin")).unwrap_err()).map(ToString::to_string);
    assert!(source.is_some(), "an Io error gives its source");
}

#[test]
fn a_cifar_10_folder_is_read_in_order_of_name_without_its_labels() {
    let dir = folder();
    file(dir.path(), "data_batch_2.bin", &records(3, 100));
    file(dir.path(), "data_batch_1.bin", &records(2, 0));
    file(dir.path(), "test_batch.bin", &records(1, 50));
    file(dir.path(), "batches.meta.txt", b"airplane");
    let split = cifar10::read_dir(&dir).unwrap();
    assert_eq!((split.train.len(), split.test.len(), split.train.shape()), (5, 1, [3, 32, 32]));
    for (i, first) in [0, 1, 100, 101, 102].into_iter().enumerate() {
        let expected: Vec<u8> = (0..3072).map(|j| (first + j) as u8).collect();
        assert_eq!(split.train.image(i), expected, "image {i}");
    }
    assert_eq!(split.test.image(0)[..2], [50, 51]);
    assert_eq!(read(&dir).unwrap(), split);
}

#[test]
fn chunks_cover_every_item_once() {
    for (n_items, batch_size) in [(0, 3), (1, 3), (3, 3), (7, 3), (7, 100), (7, usize::MAX)] {
        let all: Vec<usize> = chunks(n_items, batch_size).unwrap().flatten().collect();
        assert_eq!(all, (0..n_items).collect::<Vec<_>>(), "{n_items} items, {batch_size} at a time");
    }
}

#[cfg(feature = "image")]
mod image_files {
    use std::io::Cursor;

    use flowkit::data::image_folder::{read_dir, read_images};
    use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

    use super::*;

    /// Pixel `(x, y)` is `[level, x, y]`.
    fn picture(level: u8, height: u32, width: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([level, x as u8, y as u8])).into()
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn png(level: u8) -> Vec<u8> {
        encoded(&picture(level, 2, 3), ImageFormat::Png)
    }

    fn levels(images: &Images) -> Vec<u8> {
        (0..images.len()).map(|i| images.image(i)[0]).collect()
    }

    /// A folder with a good image of 2x3, `a.png`, and the file given: before it in order of path if its name is `A`.
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
            case!("no folder", read_images("/no/such/folder", size), DataError::Io { .. }, "/no/such/folder"),
            case!(
                "empty",
                read_dir(&empty, size),
                DataError::NoImages { .. },
                empty.path().display(),
                "png, jpg, jpeg"
            ),
            case!("empty, any kind", read(&empty), DataError::NoImages { .. }, empty.path().display()),
            case!(
                "one",
                read_dir(&one, size),
                DataError::NothingToHoldOut { found: 1, .. },
                one.path().display(),
                "1 image"
            ),
            case!("no test", read_dir(&no_test, size), DataError::HalfSplit { missing: "test", .. }, "no test folder"),
            case!(
                "no train",
                read_dir(&no_train, size),
                DataError::HalfSplit { missing: "train", .. },
                "no train folder"
            ),
            case!(
                "empty test",
                read_dir(&empty_test, size),
                DataError::NoImages { .. },
                empty_test.path().join("test").display()
            ),
            case!("no size", read_images(&one, [0, 3]), DataError::ImageShape { found: [3, 0, 3] }, "[3, 0, 3]"),
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
            cases.push(case!(name, read_images(&dir, size), DataError::ColorType { .. }, path, name, "expected Rgb8"));
        }
        let (dir, path) = with("b.jpg", &encoded(&plain.to_luma8().into(), ImageFormat::Jpeg));
        cases.push(case!("gray JPEG", read_images(&dir, size), DataError::ColorType { .. }, path, "L8"));
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
            cases.push(case!(what, read_images(&dir, size), DataError::Undecodable { .. }, path, "cannot be decoded"));
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
        let split = read_dir(&two, [2, 3]).unwrap();
        assert_eq!((levels(&split.train), levels(&split.test)), (vec![1], vec![2]));

        for (n, expected) in [(2, vec![1]), (9, vec![8]), (10, vec![9]), (19, vec![9]), (25, vec![9, 19])] {
            let dir = folder();
            (0..n).for_each(|i| drop(file(dir.path(), &format!("{i:02}.png"), &png(i))));
            let split = read_dir(&dir, [2, 3]).unwrap();
            assert_eq!(levels(&split.test), expected, "of {n}");
            assert_eq!(split.train.len() + split.test.len(), usize::from(n));
            assert!(levels(&split.train).iter().all(|level| !expected.contains(level)));
        }
    }

    #[test]
    fn an_image_folder_is_recognized() {
        let dir = folder();
        (0..2)
            .for_each(|i| drop(file(dir.path(), &format!("{i}.png"), &encoded(&picture(i, 32, 32), ImageFormat::Png))));
        let split = read(&dir).unwrap();
        assert_eq!((levels(&split.train), levels(&split.test)), (vec![0], vec![1]));
    }

    #[test]
    fn the_sheets_of_photographs_are_whole_tiles_of_rgb() {
        for (bytes, height) in [
            (&include_bytes!("../src/data/photographs/train.png")[..], 1024),
            (include_bytes!("../src/data/photographs/test.png"), 128),
        ] {
            let sheet = image::load_from_memory(bytes).unwrap();
            assert_eq!((sheet.color(), sheet.width(), sheet.height()), (image::ColorType::Rgb8, 1024, height));
        }
    }
}
