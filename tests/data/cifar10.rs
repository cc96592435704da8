//! The CIFAR-10 binary format.

use flowkit::data::{DataError, cifar10, read};

use super::{assert_messages, case, file, folder};

/// Record `i` has label `i` and pixels that count on from `first`.
fn records(n: u8, first: u8) -> Vec<u8> {
    let record = |i: u8| {
        [vec![i], (0..3072).map(|j| first.wrapping_add(i).wrapping_add(j as u8)).collect()].concat()
    };
    (0..n).flat_map(record).collect()
}

#[test]
fn bad_cifar_10_is_named() {
    let dir = folder();
    let name = |name: &str| dir.path().join(name).display().to_string();
    let with =
        |file_name: &str, bytes: &[u8]| cifar10::read_file(file(dir.path(), file_name, bytes));
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
        case!(
            "no file",
            cifar10::read_file(name("none.bin")),
            DataError::Io { .. },
            name("none.bin")
        ),
        case!(
            "empty",
            with("empty.bin", &[]),
            DataError::EmptyFile { .. },
            name("empty.bin"),
            3073
        ),
        case!(
            "less than a record",
            with("short.bin", &[0; 100]),
            DataError::TruncatedRecord { record: 0, expected: 3073, found: 100, .. },
            name("short.bin"),
            "record 0",
            "3073 bytes in record 0 (counted from 0), found 100"
        ),
        case!(
            "part of a record",
            with("cut.bin", &records(3, 0)[..3 * 3073 - 1]),
            DataError::TruncatedRecord { record: 2, expected: 3073, found: 3072, .. },
            name("cut.bin"),
            "record 2",
            "3073 bytes in record 2 (counted from 0), found 3072"
        ),
        case!(
            "label",
            with("label.bin", &mislabelled),
            DataError::LabelOutOfRange { record: 2, max: 9, found: 17, .. },
            name("label.bin"),
            "record 2",
            "found 17",
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
        case!(
            "no training files, any kind",
            read(&no_train),
            DataError::NoTrainBatches { .. },
            "data_batch_*.bin"
        ),
        case!(
            "no test file",
            read(&no_test),
            DataError::NoTestBatch { .. },
            no_test.path().join("test_batch.bin").display()
        ),
        case!(
            "the second file",
            read(&bad_second),
            DataError::TruncatedRecord { .. },
            second.display(),
            "record 1"
        ),
    ]);
    let error = cifar10::read_file(name("none.bin")).unwrap_err();
    assert!(std::error::Error::source(&error).is_none(), "the text holds the cause already");
    let DataError::Io { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_cifar_10_folder_is_read_in_order_of_name_with_its_labels() {
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
    let labels = split.train.labels().unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(|i| labels.get(i)), [0, 1, 0, 1, 2]);
    assert_eq!(labels.names()[1], "automobile");
    assert_eq!(split.test.image(0)[..2], [50, 51]);
    assert_eq!(read(&dir).unwrap(), split);
}
