//! The CIFAR-10 binary format: records of one label byte and 3,072 pixel bytes.
//!
//! A file consists of records only, so its size is a multiple of 3,073 bytes. Nothing but a label
//! above 9 can reveal another format. The pixels of a record are the red plane, the green plane and
//! the blue plane, each of 32 rows of 32, which is the layout of [`Images`].
//!
//! Reference: Krizhevsky, *Learning multiple layers of features from tiny images*, 2009; the format
//! is described at
//! <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version".

use std::path::Path;

use super::{
    DataError, Images, Labels, Remark, Split,
    folder::{Found, Kind, entries, not_in_set},
    report::ReportEntry,
};
use crate::whole_file;

/// `[channels, height, width]` of every CIFAR-10 image.
pub const SHAPE: [usize; 3] = [3, 32, 32];

/// The classes in the order of their labels.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const RECORD: usize = 1 + 3 * 32 * 32;
/// Most bytes of a file: 1 GiB. The whole set has 0.2 GiB.
const MAX_BYTES: u64 = 1 << 30;
const MAX_LABEL: u8 = CLASSES.len() as u8 - 1;
const TEST_FILE: &str = "test_batch.bin";

/// Files of the archive that hold no records.
const COMPANIONS: [&str; 2] = ["batches.meta.txt", "readme.html"];

/// Training files of the whole set.
const N_TRAIN_FILES: usize = 5;

/// The images and labels of one file of records, in file order.
///
/// # Errors
///
/// [`DataError::Io`], also for a path that is not a regular file and for a file of more than 1 GiB;
/// [`DataError::EmptyFile`], [`DataError::TruncatedRecord`], or [`DataError::LabelOutOfRange`].
///
/// # Example
///
/// ```
/// use flowkit::data::cifar10;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data_batch_1.bin");
/// # std::fs::write(&path, vec![1; 3073 * 2])?;
/// let images = cifar10::read_file(&path)?;
/// assert_eq!((images.len(), images.shape()), (2, cifar10::SHAPE));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_file(path: impl AsRef<Path>) -> Result<Images, DataError> {
    let path = path.as_ref();
    let mut bytes = whole_file::read(path, MAX_BYTES).map_err(DataError::io(path))?;
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), expected: RECORD });
    }
    let (n_records, rest) = (bytes.len() / RECORD, bytes.len() % RECORD);
    if rest != 0 {
        return Err(DataError::TruncatedRecord {
            path: path.into(),
            record: n_records,
            expected: RECORD,
            found: rest,
        });
    }
    let mut labels = Vec::with_capacity(n_records);
    // The pixels are moved in place over the labels, so a file is in memory only once.
    for record in 0..n_records {
        let start = record * RECORD;
        let label = bytes[start];
        if label > MAX_LABEL {
            let (min, max) = (0, MAX_LABEL);
            return Err(DataError::LabelOutOfRange {
                path: path.into(),
                record,
                min,
                max,
                found: label,
            });
        }
        labels.push(u16::from(label));
        bytes.copy_within(start + 1..start + RECORD, record * (RECORD - 1));
    }
    bytes.truncate(n_records * (RECORD - 1));
    let labels = Labels::new(labels, CLASSES.map(String::from).to_vec())?;
    Images::new(bytes, SHAPE)?.with_labels(labels)
}

/// The CIFAR-10 folder: the training images of all `data_batch_*.bin` that it holds, in order of
/// their numbers, and the test images of `test_batch.bin`.
///
/// Other files, such as the `data_batch_1 (1).bin` of a second download, are left out. The
/// [`Report`](super::Report) of the set lists them, and any of the five training files that are
/// missing.
///
/// # Errors
///
/// [`DataError::NoTrainBatches`], [`DataError::NoTestBatch`],
/// [`LayoutError::NotAFolder`](super::LayoutError::NotAFolder), and the errors of [`read_file`].
pub fn read_dir(dir: impl AsRef<Path>) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    let entries = entries(dir)?;
    let train_files = train_files(&entries);
    let mut files = train_files.iter();
    let (_, first) = files.next().ok_or_else(|| DataError::NoTrainBatches { path: dir.into() })?;
    let test_file = dir.join(TEST_FILE);
    if !test_file.is_file() {
        return Err(DataError::NoTestBatch { path: test_file });
    }
    let train = files.try_fold(read_file(&first.path)?, |train, (_, file)| {
        train.concat(&read_file(&file.path)?)
    })?;
    let is_read = |entry: &Found| {
        let is_companion = COMPANIONS.iter().any(|name| entry.name == *name);
        is_companion
            || entry.path == test_file
            || train_files.iter().any(|(_, file)| file.path == entry.path)
    };
    let mut remarks = not_in_set(&entries, is_read);
    let missing = (1..=N_TRAIN_FILES as u64)
        .filter(|number| train_files.iter().all(|(found, _)| found != number));
    let path = |number| dir.join(format!("data_batch_{number}.bin"));
    remarks
        .extend(missing.map(|number| ReportEntry { remark: Remark::Missing, path: path(number) }));
    Ok(Split { train, test: read_file(&test_file)?, report: remarks.into_iter().collect() })
}

/// Whether `dir` holds any file of the CIFAR-10 folder.
pub(super) fn recognizes(dir: &Path) -> Result<bool, DataError> {
    Ok(!train_files(&entries(dir)?).is_empty() || dir.join(TEST_FILE).is_file())
}

/// The names that [`recognizes`] looks for.
pub(super) fn looked_for() -> String {
    format!("data_batch_*.bin and {TEST_FILE} (CIFAR-10)")
}

/// The training files with their numbers, in that order.
fn train_files(entries: &[Found]) -> Vec<(u64, &Found)> {
    let number = |entry: &Found| {
        let digits = entry.name.to_str()?.strip_prefix("data_batch_")?.strip_suffix(".bin")?;
        digits.parse().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let is_file = |entry: &&Found| entry.kind == Kind::File;
    let mut files: Vec<(u64, &Found)> =
        entries.iter().filter(is_file).filter_map(|entry| Some((number(entry)?, entry))).collect();
    files.sort_by_key(|(number, _)| *number);
    files
}
