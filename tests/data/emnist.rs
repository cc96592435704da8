//! Sets in MNIST's format with other names and other labels, and how their files may be packed.

use std::path::Path;

use flowkit::data::mnist::{ImageShape, LabelSet, read_dir, read_files, read_labelled, read_set};
use flowkit::data::{DataError, Images, LayoutError, Remark, Split, read};

use super::mnist::{image_bytes, label_bytes, packed};
use super::{assert_messages, case, file, folder};

/// The four files of a set: names with `{}` for the part and its content, such as
/// `emnist-letters-{}-idx{}-ubyte.gz`.
fn put(
    dir: &Path,
    [part, test]: [&str; 2],
    [before, between, after]: [&str; 3],
    labels: [&[u8]; 2],
) {
    for (part, labels) in [part, test].iter().zip(labels) {
        let images = format!("{before}{part}-images{between}idx3-ubyte{after}");
        file(dir, &images, &packed(&image_bytes(labels.len() as u32)));
        file(
            dir,
            &format!("{before}{part}-labels{between}idx1-ubyte{after}"),
            &packed(&label_bytes(labels)),
        );
    }
}

fn classes(images: &Images) -> Vec<String> {
    let labels = images.labels().unwrap();
    (0..labels.len()).map(|i| labels.names()[usize::from(labels.get(i))].clone()).collect()
}

#[test]
fn other_spellings_are_found() {
    let digits: [&[u8]; 2] = [&[7, 0, 9], &[1]];
    let plain = folder();
    put(plain.path(), ["train", "t10k"], ["", "-", ""], digits);
    let expected = read_dir(&plain, ImageShape::Original).unwrap();
    for (parts, name) in [
        (["train", "t10k"], ["", ".", ""]),
        (["train", "t10k"], ["", ".", ".gz"]),
        (["train", "test"], ["", "-", ".gz"]),
        (["TRAIN", "T10K"], ["", "-", ".GZ"]),
        (["train", "test"], ["emnist-mnist-", "-", ".gz"]),
        (["train", "test"], ["emnist-digits-", ".", ""]),
    ] {
        let dir = folder();
        put(dir.path(), parts, name, digits);
        assert_eq!(read_dir(&dir, ImageShape::Original).unwrap(), expected, "{parts:?}, {name:?}");
        assert_eq!(read(&dir).unwrap(), read_dir(&dir, ImageShape::PaddedRgb).unwrap());
    }
    // Of several spellings one is read, and the others are told.
    put(plain.path(), ["train", "t10k"], ["", ".", ".gz"], [&[1], &[2]]);
    file(plain.path(), "train-images-idx3-ubyte (1).gz", b"");
    file(plain.path(), "._train-images-idx3-ubyte", b"");
    let split = read_dir(&plain, ImageShape::Original).unwrap();
    assert_eq!((&split.train, &split.test), (&expected.train, &expected.test));
    let names: Vec<_> = split
        .report
        .of(Remark::NotInSet)
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names.len(), 5);
    assert!(
        names.contains(&"t10k-images.idx3-ubyte.gz")
            && names.contains(&"train-images-idx3-ubyte (1).gz"),
        "{names:?}"
    );
    assert_eq!(split.report.of(Remark::Hidden).count(), 1);
}

#[test]
fn underscores_and_dots_are_as_good_as_dashes() {
    let names = |set: &str, parts: [&str; 2], form: &str| {
        let name = |part, content, n| {
            let name = form
                .replace("PART", part)
                .replace("CONTENT", content)
                .replace("IDX", &format!("idx{n}"));
            format!("{set}{name}")
        };
        parts.map(|part| [name(part, "images", 3), name(part, "labels", 1)])
    };
    for (set, asked, parts, form, classes_of_train) in [
        ("", "", ["train", "t10k"], "PART_CONTENT.IDX-ubyte", ["7", "1"]),
        ("", "", ["train", "t10k"], "PART_CONTENT_IDX_ubyte", ["7", "1"]),
        ("", "", ["Train", "Test"], "PART.CONTENT.IDX.ubyte.gz", ["7", "1"]),
        (
            "emnist_letters_",
            "emnist-letters",
            ["train", "test"],
            "PART-CONTENT-IDX-ubyte",
            ["g", "a"],
        ),
        (
            "emnist_letters_",
            "EMNIST_Letters",
            ["train", "test"],
            "PART_CONTENT_IDX_ubyte.gz",
            ["g", "a"],
        ),
        (
            "emnist.letters-",
            "emnist.letters",
            ["train", "test"],
            "PART-CONTENT-IDX-ubyte",
            ["g", "a"],
        ),
        (
            "EMNIST_By_Merge_",
            "emnist.by-merge",
            ["train", "test"],
            "PART_CONTENT.IDX-ubyte",
            ["d", "1"],
        ),
    ] {
        let dir = folder();
        // Label 38 is a class of EMNIST By_Merge only.
        let train: [u8; 2] = [if set == "EMNIST_By_Merge_" { 38 } else { 7 }, 1];
        for ([images, labels], bytes) in names(set, parts, form).iter().zip([&train[..], &[1]]) {
            file(dir.path(), images, &packed(&image_bytes(bytes.len() as u32)));
            file(dir.path(), labels, &packed(&label_bytes(bytes)));
        }
        let split = read_dir(&dir, ImageShape::Original)
            .unwrap_or_else(|error| panic!("{set}{form}: {error}"));
        assert_eq!(classes(&split.train), classes_of_train, "{set}{form}");
        assert_eq!(read_set(&dir, asked, ImageShape::Original).unwrap(), split, "{set}{form}");
        assert_eq!(split.report.of(Remark::NotInSet).count(), 0);
    }
    // MNIST's own spelling is read before others, and none is lost from the report.
    let dir = folder();
    put(dir.path(), ["train", "t10k"], ["", "-", ""], [&[5], &[6]]);
    for name in ["train_images_idx3_ubyte", "train.images-idx3-ubyte", "train-images-idx3_ubyte"] {
        file(dir.path(), name, &image_bytes(4));
    }
    let split = read_dir(&dir, ImageShape::Original).unwrap();
    assert_eq!(
        (classes(&split.train), split.report.of(Remark::NotInSet).count()),
        (vec!["5".to_owned()], 3)
    );
}

#[test]
fn emnists_labels_are_its_classes() {
    for (set, train, expected) in [
        ("emnist-letters", &[1, 26, 3][..], &["a", "z", "c"][..]),
        ("emnist-balanced", &[0, 10, 35, 36, 46], &["0", "A", "Z", "a", "t"]),
        ("emnist-bymerge", &[9, 37, 38, 45], &["9", "b", "d", "r"]),
        ("emnist-byclass", &[35, 36, 61, 0], &["Z", "a", "z", "0"]),
        ("emnist-digits", &[9, 0], &["9", "0"]),
    ] {
        let dir = folder();
        put(dir.path(), ["train", "test"], [&format!("{set}-"), "-", ".gz"], [train, &train[..1]]);
        let split = read_dir(&dir, ImageShape::Padded).unwrap();
        assert_eq!(classes(&split.train), expected, "{set}");
        assert_eq!(split.train.labels().unwrap().names(), split.test.labels().unwrap().names());
        assert_eq!(read_set(&dir, set, ImageShape::Padded).unwrap(), split);
    }
    let counts = [LabelSet::Digits, LabelSet::Letters, LabelSet::Merged, LabelSet::ByClass];
    assert_eq!(counts.map(|set| set.names().len()), [10, 26, 47, 62]);
    assert_eq!(LabelSet::Numbered { n_classes: 49 }.names()[48], "48");
}

#[test]
fn one_set_of_several_is_asked_for() {
    let dir = folder();
    put(dir.path(), ["train", "test"], ["emnist-letters-", "-", ".gz"], [&[5, 6], &[7]]);
    put(dir.path(), ["train", "test"], ["emnist-byclass-", "-", ".gz"], [&[61], &[40]]);
    put(dir.path(), ["train", "t10k"], ["", "-", ""], [&[3], &[4]]);
    assert_eq!(
        classes(&read_set(&dir, "emnist-letters", ImageShape::Original).unwrap().train),
        ["e", "f"]
    );
    assert_eq!(
        classes(&read_set(&dir, "EMNIST-ByClass", ImageShape::Original).unwrap().test),
        ["e"]
    );
    let mnist = read_set(&dir, "", ImageShape::Original).unwrap();
    assert_eq!(
        (classes(&mnist.train), mnist.report.of(Remark::NotInSet).count()),
        (vec!["3".to_owned()], 8)
    );
    let several = |result: Result<Split, DataError>| {
        case!(
            "several",
            result,
            DataError::Layout(LayoutError::SeveralSets { .. }),
            "\"emnist-letters\"",
            "\"emnist-byclass\"",
            "read_set",
            dir.path().display()
        )
    };
    assert_messages(vec![
        several(read_dir(&dir, ImageShape::Original)),
        several(read(&dir)),
        case!(
            "none of that name",
            read_set(&dir, "emnist-balanced", ImageShape::Original),
            DataError::MissingFile { .. },
            "emnist-balanced-train-images-idx3-ubyte or emnist-balanced-train-images-idx3-ubyte.gz"
        ),
    ]);
}

#[test]
fn labels_without_a_class_are_named() {
    let dir = folder();
    let images = file(dir.path(), "images", &image_bytes(3));
    let labels = |name: &str, labels: &[u8]| file(dir.path(), name, &label_bytes(labels));
    let read = |path| read_files(&images, path, ImageShape::Original);
    let [low, high] =
        ["emnist-letters-train-labels-idx1-ubyte", "emnist-letters-test-labels-idx1-ubyte"];
    let of = |path, set| read_labelled(&images, path, ImageShape::Original, set);
    let any = labels("any", &[48, 10, 26]);
    assert_messages(vec![
        case!(
            "no letter",
            read(labels(low, &[1, 0, 2])),
            DataError::LabelOutOfRange { record: 1, min: 1, max: 26, found: 0, .. },
            low,
            "expected a label from 1 to 26, found 0"
        ),
        case!(
            "27",
            read(labels(high, &[1, 2, 27])),
            DataError::LabelOutOfRange { record: 2, max: 26, found: 27, .. },
            high
        ),
        case!(
            "no name",
            read(any.clone()),
            DataError::LabelOutOfRange { record: 0, max: 9, found: 48, .. },
            "expected a label from 0 to 9"
        ),
        case!(
            "47",
            of(any.clone(), LabelSet::Merged),
            DataError::LabelOutOfRange { max: 46, found: 48, .. },
            "0 to 46"
        ),
        case!(
            "no classes",
            of(any.clone(), LabelSet::Numbered { n_classes: 0 }),
            DataError::LabelOutOfRange { record: 0, found: 48, .. },
            "found 48"
        ),
    ]);
    assert_eq!(
        classes(&of(any.clone(), LabelSet::Numbered { n_classes: 49 }).unwrap()),
        ["48", "10", "26"]
    );
    assert_eq!(
        of(any, LabelSet::Numbered { n_classes: u16::MAX }).unwrap().labels().unwrap().n_classes(),
        256
    );
}

#[test]
fn emnists_images_are_turned_on_request() {
    let dir = folder();
    put(dir.path(), ["train", "test"], ["emnist-letters-", "-", ".gz"], [&[1, 2], &[1]]);
    for (form, side) in
        [(ImageShape::Original, 28), (ImageShape::Padded, 32), (ImageShape::PaddedRgb, 32)]
    {
        let train = read_dir(&dir, form).unwrap().train;
        let turned = train.clone().transposed();
        assert_eq!((turned.shape(), turned.labels()), (train.shape(), train.labels()));
        let pixels = |images: &Images, [y, x]: [usize; 2]| images.image(1)[y * side + x];
        for at in [[3, 17], [17, 3], [2, 27], [14, 14]] {
            assert_eq!(pixels(&turned, at), pixels(&train, [at[1], at[0]]));
        }
        assert_ne!(turned, train);
        assert_eq!(turned.transposed(), train);
    }
}

#[test]
fn gzip_files_may_be_padded_and_in_parts() {
    let dir = folder();
    let labels = file(dir.path(), "labels", &label_bytes(&[7, 0, 9]));
    let whole = image_bytes(3);
    let read = |name: &str, bytes: &[u8]| {
        read_files(file(dir.path(), name, bytes), &labels, ImageShape::Original)
    };
    let expected = read("whole", &whole).unwrap();
    let zeros = vec![0; 20_000];
    let [first, second, third] = [&whole[..7], &whole[7..1000], &whole[1000..]].map(packed);
    for (name, bytes) in [
        ("one zero", [&packed(&whole)[..], &[0]].concat()),
        ("a block", [&packed(&whole)[..], &zeros].concat()),
        ("parts", [&first[..], &second, &third].concat()),
        (
            "parts with zeros between",
            [&first[..], &zeros, &second, &[0; 3], &third, &zeros].concat(),
        ),
        (
            "nothing in one part",
            [&packed(&[])[..], &packed(&whole), &packed(&[]), &[0; 512]].concat(),
        ),
    ] {
        assert_eq!(read(name, &bytes).unwrap(), expected, "{name}");
    }
    let packed = packed(&whole);
    assert_messages(vec![
        case!(
            "something behind zeros",
            read("behind", &[&packed[..], &zeros, b"more"].concat()),
            DataError::Gzip { unpacked: 2368, .. },
            "behind"
        ),
        case!(
            "half a signature",
            read("half", &[&packed[..], &[0x1f]].concat()),
            DataError::Gzip { unpacked: 2368, .. },
            "half"
        ),
        case!(
            "a part too many",
            read("many", &[&packed[..], &zeros, &third].concat()),
            DataError::TrailingBytes { records: 3, expected: 2368, .. },
            "many"
        ),
        case!(
            "a part too few",
            read("few", &[&first[..], &second, &zeros].concat()),
            DataError::TruncatedRecord { record: 1, .. },
            "few"
        ),
        case!(
            "zeros behind what is not packed",
            read("plain", &[&whole[..], &[0; 3]].concat()),
            DataError::TrailingBytes { .. },
            "plain"
        ),
    ]);
}
