//! Errors in data. The text of an error contains that of its cause. The field is named `r#source`,
//! because thiserror would return a field `source` as the cause, which would then be printed twice.

use std::{error::Error as StdError, io, path::PathBuf};

use burn::data::dataset::DatasetError;
use thiserror::Error;

use super::{ItemError, LayoutError, Report};
use crate::counted::counted;

/// An error in data: one variant for each broken rule, with its values.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        r#source: io::Error,
    },
    /// An image shape `[channels, height, width]` with a zero, or of too many bytes.
    #[error(
        "expected an image whose channels, height and width are at least 1 and that fits in \
         memory, found shape {found:?}"
    )]
    ImageShape {
        /// The shape.
        found: [usize; 3],
    },
    /// Bytes that are not a whole number of images.
    #[error(
        "expected a whole number of images of {} each, found {}",
        counted(*expected, "byte"),
        counted(*found, "byte")
    )]
    PixelCount {
        /// The bytes of one image.
        expected: usize,
        /// The bytes that were given.
        found: usize,
    },
    /// Two sets to be joined whose images differ in shape.
    #[error(
        "expected images of shape {expected:?} (channels, height, width) to join the set, found \
         {found:?}"
    )]
    ShapesDiffer {
        /// The shape of the set.
        expected: [usize; 3],
        /// The shape of the images to be joined to it.
        found: [usize; 3],
    },
    /// A number of levels into which the 256 levels of a byte cannot be divided evenly.
    #[error("the number of levels must be a power of two from 2 to 256, found {found}")]
    Levels {
        /// The number of levels.
        found: usize,
    },
    /// A batch size of zero.
    #[error("the batch size must be at least 1, found 0")]
    BatchOfZero,
    /// More batches to read ahead than a loader allows.
    #[error(
        "the number of batches to read ahead must be at most {most}, found {found}: each is held \
         in memory"
    )]
    PrefetchTooLarge {
        /// Batches to read ahead.
        found: usize,
        /// The largest number that is allowed.
        most: usize,
    },
    /// A batch that cannot be cut into equal parts, one for each device.
    #[error(
        "a batch of {} cannot be divided into {n_parts} equal parts",
        counted(*batch_size, "example")
    )]
    UnequalParts {
        /// The batch size.
        batch_size: usize,
        /// The number of parts.
        n_parts: usize,
    },
    /// No parts, or more parts than examples.
    #[error(
        "the number of parts must lie in [1, {n_items}], the number of examples of an epoch, found \
         {n_parts}"
    )]
    Parts {
        /// The number of examples.
        n_items: usize,
        /// The number of parts.
        n_parts: usize,
    },
    /// An epoch whose step numbers do not fit `usize`.
    #[error(
        "the epoch must be at most {largest}, found {epoch}: the step numbers of later ones do not \
         fit `usize`"
    )]
    EpochTooLarge {
        /// The epoch, from 0.
        epoch: usize,
        /// The last epoch whose step numbers fit.
        largest: usize,
    },
    /// A batch larger than the set.
    #[error(
        "the batch size must be at most {n_items}, the number of items, found {batch_size}: an \
         epoch would have no complete batch"
    )]
    BatchTooLarge {
        /// The batch size.
        batch_size: usize,
        /// The size of the set.
        n_items: usize,
    },
    /// Labels whose number differs from that of the images.
    #[error("expected {}, one for each image, found {found}", counted(*expected, "label"))]
    LabelCount {
        /// The number of images.
        expected: usize,
        /// The number of labels.
        found: usize,
    },
    /// A label without a class.
    #[error("item {item} (counted from 0): expected a label in 0..{n_classes}, found {found}")]
    NoSuchClass {
        /// The number of the item, from 0.
        item: usize,
        /// The number of classes.
        n_classes: usize,
        /// The label.
        found: u16,
    },
    /// Two sets to be joined whose classes differ.
    #[error(
        "expected images of the classes {expected:?} to join the set, found the classes {found:?}"
    )]
    ClassesDiffer {
        /// The classes of the set, empty if it has no labels.
        expected: Vec<String>,
        /// The classes of the images to be joined to it.
        found: Vec<String>,
    },
    /// A shift that could move the whole image out of its frame, or that is NaN.
    #[error("the shift must lie in [0, 1) of the image's side, found {found}")]
    ShiftFraction {
        /// The fraction.
        found: f64,
    },
    /// An item that its data set failed to return.
    #[error("step {step}: {}", chain(source))]
    Dataset {
        /// The training step that requested it, from 0.
        step: usize,
        /// What the data set reported.
        r#source: DatasetError,
    },
    /// Items that differ from those that were requested.
    #[error("step {step}: {source}")]
    Items {
        /// The training step that requested it, from 0.
        step: usize,
        /// What is wrong with them.
        r#source: ItemError,
    },
    /// The system cannot start a thread to read ahead.
    #[error("cannot start a thread to read ahead: {source}")]
    NoThread {
        /// The reason.
        r#source: io::Error,
    },
    /// A panic in the thread that reads ahead: a bug of the data set.
    #[error("the thread that reads ahead panicked: {reason}")]
    Panicked {
        /// The panic's message.
        reason: String,
    },
    /// A data set with an ambiguous layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A folder that holds none of the known layouts.
    #[error(
        "{}: no data set found. Expected {}; {left_out}",
        path.display(), looked_for.join("; ")
    )]
    Unrecognized {
        /// The folder.
        path: PathBuf,
        /// Each layout, with the names of its files.
        looked_for: Vec<String>,
        /// The content of the folder, which holds no images.
        left_out: Report,
    },
    /// A required file that is missing.
    #[error("{}: expected a file {expected}, found none", path.display())]
    MissingFile {
        /// The folder.
        path: PathBuf,
        /// The file's names, any of which would do.
        expected: String,
    },
    /// A gzip file that cannot be unpacked to its end.
    #[error("{}: cannot be unpacked beyond byte {unpacked}: {reason}", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Bytes that were unpacked before the failure.
        unpacked: usize,
        /// The message of the decoder.
        reason: String,
    },
    /// A file that ends inside its header.
    #[error("{}: truncated: expected a header of {expected} bytes, found {found}", path.display())]
    TruncatedHeader {
        /// The file.
        path: PathBuf,
        /// The bytes that a header has.
        expected: usize,
        /// The bytes that the file has.
        found: usize,
    },
    /// A file that does not begin like an idx file of its kind.
    #[error(
        "{}: expected an idx file of {what}, with magic number {expected:#010x}, found \
         {found:#010x}",
        path.display()
    )]
    IdxMagic {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// The magic number of that kind.
        expected: u32,
        /// The first four bytes of the file.
        found: u32,
    },
    /// A file whose header counts no records.
    #[error("{}: expected at least one record, found none", path.display())]
    NoRecords {
        /// The file.
        path: PathBuf,
    },
    /// A file that continues after the records that its header counts.
    #[error(
        "{}: expected {expected} bytes for the {} that the header counts, found more",
        path.display(),
        counted(*records, "record")
    )]
    TrailingBytes {
        /// The file, unpacked if it was packed.
        path: PathBuf,
        /// The records that the header counts.
        records: usize,
        /// The bytes of header and records.
        expected: u64,
    },
    /// A file whose header requires more memory than any data set in its format needs.
    #[error(
        "{}: expected at most {max} bytes, found {bytes} for the {} that the header counts",
        path.display(),
        counted(*records, "record")
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The records that the header counts.
        records: usize,
        /// Their bytes.
        bytes: u64,
        /// The largest number of bytes that is read.
        max: u64,
    },
    /// A file of labels that does not match its file of images.
    #[error(
        "{}: expected {}, one for each image, found {found}",
        path.display(),
        counted(*expected, "label")
    )]
    CountsDiffer {
        /// The file of labels.
        path: PathBuf,
        /// The number of images.
        expected: usize,
        /// The number of labels.
        found: usize,
    },
    /// An empty CIFAR-10 file.
    #[error(
        "{}: expected CIFAR-10 records of {expected} bytes, found an empty file",
        path.display()
    )]
    EmptyFile {
        /// The file.
        path: PathBuf,
        /// The bytes of one record.
        expected: usize,
    },
    /// A file that ends inside a record, or before the last record that its header counts.
    #[error(
        "{}: truncated: expected {expected} bytes in record {record} (counted from 0), found \
         {found}",
        path.display()
    )]
    TruncatedRecord {
        /// The file.
        path: PathBuf,
        /// The number of the last record, from 0.
        record: usize,
        /// The bytes of one record.
        expected: usize,
        /// The bytes that the file has.
        found: usize,
    },
    /// A label that the format does not have, so the file has another content.
    #[error(
        "{}: record {record} (counted from 0): expected a label from {min} to {max}, found {found}",
        path.display()
    )]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// The number of the record, from 0.
        record: usize,
        /// The smallest valid label.
        min: u8,
        /// The largest valid label.
        max: u8,
        /// The label.
        found: u8,
    },
    /// A CIFAR-10 folder without any `data_batch_*.bin`.
    #[error(
        "{}: expected at least one file data_batch_*.bin of training images, found none",
        path.display()
    )]
    NoTrainBatches {
        /// The folder.
        path: PathBuf,
    },
    /// A CIFAR-10 folder without its test file.
    #[error("{}: expected this file of test images, found none", path.display())]
    NoTestBatch {
        /// Where the file should be.
        path: PathBuf,
    },
    /// A folder without image files.
    #[error(
        "{}: expected images, files ending in {expected}, found none; {left_out}",
        path.display()
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// The extensions that are read.
        expected: String,
        /// The content of the folder.
        left_out: Report,
    },
    /// An image whose folder does not name its class.
    #[error("{}: expected the image in a folder named after its class", path.display())]
    NoClassFolder {
        /// The file.
        path: PathBuf,
    },
    /// More folders than there are labels.
    #[error("{}: expected at most 65536 classes, found {found}", path.display())]
    TooManyClasses {
        /// The folder.
        path: PathBuf,
        /// The number of classes.
        found: usize,
    },
    /// A folder that holds a training folder or a test folder, but not both.
    #[error(
        "{}: has a {found} folder but no {missing} folder; call `read_held_out` if it is not a \
         split",
        path.display()
    )]
    HalfSplit {
        /// The folder.
        path: PathBuf,
        /// The subfolder that exists.
        found: &'static str,
        /// The missing subfolder.
        missing: &'static str,
    },
    /// A folder with too few images to hold out a test set.
    #[error(
        "{}: expected at least 2 images, one of them to hold out for testing, found {found}",
        path.display()
    )]
    NothingToHoldOut {
        /// The folder.
        path: PathBuf,
        /// The number of images.
        found: usize,
    },
    /// An image of the wrong size.
    #[error(
        "{}: expected an image {} high and {} wide, found {} high and {} wide",
        path.display(), expected[0], expected[1], found[0], found[1]
    )]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// The required `[height, width]`.
        expected: [usize; 2],
        /// `[height, width]` of the image.
        found: [usize; 2],
    },
    /// An image whose channels are not 8-bit red, green and blue.
    #[error(
        "{}: expected colour type {expected}, found {found}; convert the image first",
        path.display()
    )]
    ColorType {
        /// The file.
        path: PathBuf,
        /// The required colour type.
        expected: &'static str,
        /// The colour type of the image, as the `image` crate names it.
        found: String,
    },
    /// A file that does not decode as an image.
    #[error("{}: cannot be decoded: {reason}", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// The message of the decoder.
        reason: String,
    },
    /// A download that failed.
    #[error("the download of {what} failed: {reason}")]
    Download {
        /// The data set to be downloaded.
        what: &'static str,
        /// The message of the downloader.
        reason: String,
    },
    /// A download that left fewer images on disk than it should have.
    #[error(
        "{}: expected {expected:?} images (training, test), found {found:?}; delete the folder and \
         download again",
        path.display()
    )]
    DownloadIncomplete {
        /// The folder.
        path: PathBuf,
        /// The numbers of training and test images of the complete set.
        expected: [usize; 2],
        /// The numbers that were found.
        found: [usize; 2],
    },
}

/// An error of another crate with its causes, each once: some messages contain that of their cause.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.contains(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    text
}

impl DataError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
