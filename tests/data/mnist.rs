//! MNIST's idx files.

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use flowkit::data::{
    DataError,
    mnist::{ImageShape, read_dir, read_files},
    read,
};
use tempfile::TempDir;

use super::{assert_messages, case, file, folder};

const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

fn header(magic: u32, dims: &[u32]) -> Vec<u8> {
    [&[magic], dims].concat().into_iter().flat_map(u32::to_be_bytes).collect()
}

/// Pixel `j` of image `i` is `100 i + j`, modulo 256.
pub(super) fn image_bytes(n: u32) -> Vec<u8> {
    let pixels = (0..n).flat_map(|i| (0..784).map(move |j| (100 * i + j) as u8));
    header(2051, &[n, 28, 28]).into_iter().chain(pixels).collect()
}

pub(super) fn label_bytes(labels: &[u8]) -> Vec<u8> {
    [header(2049, &[labels.len() as u32]), labels.to_vec()].concat()
}

pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with a training set of three and a test set of two, packed as asked for.
fn whole(pack: impl Fn(&[u8]) -> Vec<u8>, ending: &str) -> TempDir {
    let dir = folder();
    let put =
        |name: &str, bytes: &[u8]| drop(file(dir.path(), &format!("{name}{ending}"), &pack(bytes)));
    put(IMAGES, &image_bytes(3));
    put(LABELS, &label_bytes(&[7, 0, 9]));
    put("t10k-images-idx3-ubyte", &image_bytes(2));
    put("t10k-labels-idx1-ubyte", &label_bytes(&[1, 2]));
    dir
}

#[test]
fn packed_or_not_the_folder_is_the_same() {
    let (plain, gzip) = (whole(<[u8]>::to_vec, ""), whole(packed, ".gz"));
    let split = read_dir(&gzip, ImageShape::Original).unwrap();
    assert_eq!(read_dir(&plain, ImageShape::Original).unwrap(), split);
    assert_eq!((split.train.len(), split.test.len(), split.train.shape()), (3, 2, [1, 28, 28]));
    let expected: Vec<u8> = (0..784).map(|j| (200 + j) as u8).collect();
    assert_eq!(split.train.image(2), expected);
    let labels = split.train.labels().unwrap();
    assert_eq!(([0, 1, 2].map(|i| labels.get(i)), labels.n_classes()), ([7, 0, 9], 10));

    // the names do not decide
    let misnamed = whole(packed, "");
    assert_eq!(read_dir(&misnamed, ImageShape::Original).unwrap(), split);
    // several gzip members are one stream
    let (first, second) = (packed(&image_bytes(3)[..500]), packed(&image_bytes(3)[500..]));
    let images = file(gzip.path(), "members.gz", &[first, second].concat());
    let labels = gzip.path().join(format!("{LABELS}.gz"));
    assert_eq!(read_files(images, labels, ImageShape::Original).unwrap(), split.train);
}

#[test]
fn the_form_is_asked_for_and_any_folder_gives_rgb() {
    let dir = whole(packed, ".gz");
    let original = read_dir(&dir, ImageShape::Original).unwrap().test;
    let gray = read_dir(&dir, ImageShape::Padded).unwrap().test;
    let rgb = read_dir(&dir, ImageShape::PaddedRgb).unwrap();
    assert_eq!((gray.shape(), rgb.test.shape()), ([1, 32, 32], [3, 32, 32]));
    assert_eq!(rgb.test.image(1), gray.image(1).repeat(3));
    assert_eq!(gray.image(1)[5 * 32 + 2..5 * 32 + 30], original.image(1)[3 * 28..4 * 28]);
    assert_eq!(gray.image(1)[..2 * 32], [0; 64]);
    assert_eq!(gray.labels(), original.labels());
    assert_eq!(read(&dir).unwrap(), rgb);
}

#[test]
fn bad_mnist_is_named() {
    let dir = folder();
    let labels = file(dir.path(), "labels", &label_bytes(&[7, 0, 9]));
    let name = |path: &Path| path.display().to_string();
    let images = |name: &str, bytes: &[u8]| {
        read_files(file(dir.path(), name, bytes), &labels, ImageShape::Original)
    };
    let good = image_bytes(3);
    let gzip = packed(&good);
    let mut damaged = gzip.clone();
    let middle = damaged.len() - 6; // in the checksum
    damaged[middle] ^= 1;
    let good_path = file(dir.path(), "good", &good);
    let with_labels = |name: &str, bytes: &[u8]| {
        read_files(&good_path, file(dir.path(), name, bytes), ImageShape::Original)
    };

    assert_messages(vec![
        case!(
            "no file",
            read_files(dir.path().join("none"), &labels, ImageShape::Padded),
            DataError::Io { .. },
            "none"
        ),
        case!(
            "empty",
            images("empty", &[]),
            DataError::TruncatedHeader { expected: 16, found: 0, .. },
            "empty",
            "16 bytes, found 0"
        ),
        case!(
            "half a header",
            images("header", &good[..10]),
            DataError::TruncatedHeader { expected: 16, found: 10, .. },
            "header",
            "16 bytes, found 10"
        ),
        case!(
            "a file of labels for one of images",
            read_files(&labels, &labels, ImageShape::Original),
            DataError::IdxMagic { what: "images", expected: 2051, found: 2049, .. },
            name(&labels),
            "0x00000801",
            "0x00000803"
        ),
        case!(
            "a file of images for one of labels",
            read_files(&good_path, &good_path, ImageShape::Original),
            DataError::IdxMagic { what: "labels", expected: 2049, found: 2051, .. },
            "idx file of labels"
        ),
        case!(
            "text",
            images("text", b"no idx file at all"),
            DataError::IdxMagic { what: "images", .. },
            "text",
            "0x6e6f2069"
        ),
        case!(
            "another size",
            images("wide", &header(2051, &[3, 28, 30])),
            DataError::ImageSize { expected: [28, 28], found: [28, 30], .. },
            "wide",
            "28 high and 30 wide"
        ),
        case!(
            "dimensions that overflow",
            images("huge", &header(2051, &[u32::MAX; 3])),
            DataError::ImageSize { .. },
            "huge",
            u32::MAX
        ),
        case!(
            "more than fits in memory",
            images("bomb", &header(2051, &[u32::MAX, 28, 28])),
            DataError::TooLarge { records: 4_294_967_295, max: 1_073_741_824, .. },
            "bomb",
            "4294967295 records"
        ),
        case!(
            "more images than labels, of which none is read",
            images("million", &header(2051, &[1_000_000, 28, 28])),
            DataError::CountsDiffer { expected: 1_000_000, found: 3, .. },
            name(&labels),
            "found 3"
        ),
        case!(
            "no records",
            images("none", &header(2051, &[0, 28, 28])),
            DataError::NoRecords { .. },
            "none"
        ),
        case!(
            "part of a record",
            images("cut", &good[..16 + 2 * 784 + 5]),
            DataError::TruncatedRecord { record: 2, expected: 784, found: 5, .. },
            "cut",
            "record 2",
            "found 5"
        ),
        case!(
            "fewer records than the header counts",
            images("few", &good[..16 + 784]),
            DataError::TruncatedRecord { record: 1, expected: 784, found: 0, .. },
            "few",
            "record 1",
            "found 0"
        ),
        case!(
            "trailing bytes",
            images("long", &[&good[..], &[0; 3]].concat()),
            DataError::TrailingBytes { records: 3, expected: 2368, .. },
            "long",
            "expected 2368 bytes for the 3 records"
        ),
        case!(
            "trailing bytes, packed",
            images("long.gz", &packed(&[&good[..], &[0; 3]].concat())),
            DataError::TrailingBytes { expected: 2368, .. },
            "long.gz"
        ),
        case!(
            "half a gzip file",
            images("half.gz", &gzip[..gzip.len() / 2]),
            DataError::Gzip { .. },
            "half.gz",
            "cannot be unpacked"
        ),
        case!(
            "a gzip file without its end",
            images("end.gz", &gzip[..gzip.len() - 4]),
            DataError::Gzip { unpacked: 2368, .. },
            "end.gz",
            2368
        ),
        case!("a wrong checksum", images("crc.gz", &damaged), DataError::Gzip { .. }, "crc.gz"),
        case!(
            "bytes after a gzip file",
            images("after.gz", &[&gzip[..], b"more"].concat()),
            DataError::Gzip { unpacked: 2368, .. },
            "after.gz"
        ),
        case!(
            "fewer labels",
            with_labels("two", &label_bytes(&[1, 2])),
            DataError::CountsDiffer { expected: 3, found: 2, .. },
            dir.path().join("two").display(),
            "found 2",
            "expected 3"
        ),
        case!(
            "a label of 10",
            with_labels("ten", &label_bytes(&[1, 10, 2])),
            DataError::LabelOutOfRange { record: 1, max: 9, found: 10, .. },
            dir.path().join("ten").display(),
            "record 1",
            "found 10"
        ),
        case!(
            "labels cut short",
            with_labels("short", &label_bytes(&[1, 2, 3])[..10]),
            DataError::TruncatedRecord { record: 2, expected: 1, found: 0, .. },
            "short",
            "record 2"
        ),
    ]);
}

#[test]
fn a_missing_file_is_named() {
    for missing in [IMAGES, LABELS, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        let dir = whole(packed, ".gz");
        std::fs::remove_file(dir.path().join(format!("{missing}.gz"))).unwrap();
        let expected = format!("expected a file {missing} or {missing}.gz");
        assert_messages(vec![
            case!(
                missing,
                read_dir(&dir, ImageShape::Original),
                DataError::MissingFile { .. },
                expected,
                dir.path().display()
            ),
            case!(missing, read(&dir), DataError::MissingFile { .. }, expected),
        ]);
    }
}
