//! The CIFAR-10 binary format: records of one label byte and 3,072 pixel bytes.
//!
//! A file is nothing but records, so its size is a multiple of 3,073 bytes and the only thing that can betray another
//! format is a label above 9. The pixels of a record are the red plane, the green plane and the blue plane, each of 32 rows
//! of 32: the layout of [`Images`] already.
//!
//! Reference: Krizhevsky, *Learning multiple layers of features from tiny images*, 2009; the format is described at
//! <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version".

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{DataError, Images, Labels, Split};

/// `[channels, height, width]` of every CIFAR-10 image.
pub const SHAPE: [usize; 3] = [3, 32, 32];

/// The classes in the order of their labels.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const RECORD: usize = 1 + 3 * 32 * 32;
const MAX_LABEL: u8 = CLASSES.len() as u8 - 1;
const TEST_FILE: &str = "test_batch.bin";

/// The images and labels of one file of records, in file order.
///
/// # Errors
///
/// [`DataError::Io`], [`DataError::EmptyFile`], [`DataError::TruncatedRecord`], or [`DataError::LabelOutOfRange`].
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
    let mut bytes = fs::read(path).map_err(DataError::io(path))?;
    if bytes.is_empty() {
        return Err(DataError::EmptyFile { path: path.into(), expected: RECORD });
    }
    let (n_records, rest) = (bytes.len() / RECORD, bytes.len() % RECORD);
    if rest != 0 {
        return Err(DataError::TruncatedRecord { path: path.into(), record: n_records, expected: RECORD, found: rest });
    }
    let mut labels = Vec::with_capacity(n_records);
    // The pixels move down over the labels, so a file is in memory once.
    for record in 0..n_records {
        let start = record * RECORD;
        let label = bytes[start];
        if label > MAX_LABEL {
            return Err(DataError::LabelOutOfRange { path: path.into(), record, max: MAX_LABEL, found: label });
        }
        labels.push(u16::from(label));
        bytes.copy_within(start + 1..start + RECORD, record * (RECORD - 1));
    }
    bytes.truncate(n_records * (RECORD - 1));
    let labels = Labels::new(labels, CLASSES.map(String::from).to_vec())?;
    Images::new(bytes, SHAPE)?.with_labels(labels)
}

/// The CIFAR-10 folder: the training images of however many `data_batch_*.bin` there are, in order of name, and the test
/// images of `test_batch.bin`.
///
/// # Errors
///
/// [`DataError::NoTrainBatches`], [`DataError::NoTestBatch`], and the errors of [`read_file`].
pub fn read_dir(dir: impl AsRef<Path>) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    let mut files = train_files(dir)?.into_iter();
    let first = files.next().ok_or_else(|| DataError::NoTrainBatches { path: dir.into() })?;
    let test_file = dir.join(TEST_FILE);
    if !test_file.exists() {
        return Err(DataError::NoTestBatch { path: test_file });
    }
    let train = files.try_fold(read_file(first)?, |train, file| train.concat(&read_file(file)?))?;
    Ok(Split { train, test: read_file(test_file)? })
}

/// Whether `dir` holds any file of the CIFAR-10 folder.
pub(super) fn recognizes(dir: &Path) -> Result<bool, DataError> {
    Ok(!train_files(dir)?.is_empty() || dir.join(TEST_FILE).exists())
}

/// What [`recognizes`] looks for.
pub(super) fn looked_for() -> String {
    format!("data_batch_*.bin and {TEST_FILE} (CIFAR-10)")
}

fn train_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_batch = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("data_batch_") && name.ends_with(".bin")
    };
    let entries = fs::read_dir(dir).map_err(DataError::io(dir))?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(DataError::io(dir))?;
    paths.retain(is_batch);
    paths.sort();
    Ok(paths)
}
