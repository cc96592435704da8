//! MNIST and the sets in its format: four idx files, as they are or packed by gzip.
//!
//! | file | holds |
//! |---|---|
//! | `train-images-idx3-ubyte` | training images of 28x28 |
//! | `train-labels-idx1-ubyte` | their labels, 0 to 9 |
//! | `t10k-images-idx3-ubyte` | test images |
//! | `t10k-labels-idx1-ubyte` | their labels |
//!
//! Each may have the ending `.gz`. Fashion-MNIST and KMNIST have the same files and are read too.
//!
//! Reference: LeCun, Cortes & Burges, *The MNIST database of handwritten digits*.

use std::path::{Path, PathBuf};

use super::idx::Idx;
use super::{DataError, Images, Labels, Split};

/// Height and width of every image.
const SIDE: usize = 28;

/// Pixels that [`Form::Padded`] puts on every side.
const MARGIN: usize = 2;

const N_CLASSES: u8 = 10;

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// What becomes of an image of 28x28.
///
/// Padding adds pixels that any model knows: bits/dim of the forms differ, and only those of one form compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `[1, 28, 28]`, as it is.
    Original,
    /// `[1, 32, 32]`, with a margin of two black pixels: a power of two for squeezes.
    Padded,
    /// `[3, 32, 32]`, the padded image three times: what Kingma & Dhariwal 2018 train Glow on.
    PaddedRgb,
}

impl Form {
    /// `[channels, height, width]` of the images.
    pub fn shape(self) -> [usize; 3] {
        let padded = SIDE + 2 * MARGIN;
        match self {
            Self::Original => [1, SIDE, SIDE],
            Self::Padded => [1, padded, padded],
            Self::PaddedRgb => [3, padded, padded],
        }
    }
}

/// The images and labels of one pair of files, in file order.
///
/// # Errors
///
/// For either file: [`DataError::Io`], [`DataError::Gzip`], [`DataError::TruncatedHeader`], [`DataError::IdxMagic`],
/// [`DataError::NoRecords`], [`DataError::TooLarge`], [`DataError::TruncatedRecord`], [`DataError::TrailingBytes`]. [`DataError::ImageSize`] if images are not
/// 28x28, [`DataError::CountsDiffer`] if the labels are more or fewer, [`DataError::LabelOutOfRange`].
pub fn read_files(images: impl AsRef<Path>, labels: impl AsRef<Path>, form: Form) -> Result<Images, DataError> {
    let (path, labels_path) = (images.as_ref(), labels.as_ref());
    let images = Idx::<3>::open(path, "images", |size| {
        let found = [size[0], size[1]];
        let expected = [SIDE, SIDE];
        if found == expected { Ok(()) } else { Err(DataError::ImageSize { path: path.into(), expected, found }) }
    })?;
    let labels = Idx::<1>::open(labels_path, "labels", |_| Ok(()))?;
    // Known from the headers, before anything is unpacked.
    if labels.n_records != images.n_records {
        let (expected, found) = (images.n_records, labels.n_records);
        return Err(DataError::CountsDiffer { path: labels_path.into(), expected, found });
    }
    let (pixels, labels) = (images.records()?, labels.records()?);
    if let Some(record) = labels.iter().position(|&label| label >= N_CLASSES) {
        let (max, found) = (N_CLASSES - 1, labels[record]);
        return Err(DataError::LabelOutOfRange { path: labels_path.into(), record, max, found });
    }
    let names = (0..N_CLASSES).map(|digit| digit.to_string()).collect();
    let labels = Labels::new(labels.into_iter().map(u16::from).collect(), names)?;
    Images::new(formed(pixels, form), form.shape())?.with_labels(labels)
}

/// The folder of the four files.
///
/// # Errors
///
/// [`DataError::MissingFile`] for the first of the four that is not there under either name; and the errors of [`read_files`].
///
/// # Example
///
/// ```no_run
/// use flowkit::data::mnist::{Form, read_dir};
///
/// let split = read_dir("data/mnist", Form::Padded)?;
/// assert_eq!(split.train.shape(), [1, 32, 32]);
/// assert_eq!(split.train.labels().map(|labels| labels.n_classes()), Some(10));
/// # Ok::<(), flowkit::data::DataError>(())
/// ```
pub fn read_dir(dir: impl AsRef<Path>, form: Form) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    let [train_images, train_labels] = [file(dir, TRAIN[0])?, file(dir, TRAIN[1])?];
    let [test_images, test_labels] = [file(dir, TEST[0])?, file(dir, TEST[1])?];
    Ok(Split {
        train: read_files(train_images, train_labels, form)?,
        test: read_files(test_images, test_labels, form)?,
    })
}

/// Whether `dir` holds any file of the MNIST folder.
pub(super) fn recognizes(dir: &Path) -> bool {
    TRAIN.iter().chain(&TEST).any(|name| file(dir, name).is_ok())
}

/// What [`recognizes`] looks for.
pub(super) fn looked_for() -> String {
    format!("{} and so on, with or without .gz (MNIST)", TRAIN[0])
}

fn file(dir: &Path, name: &str) -> Result<PathBuf, DataError> {
    let [plain, packed] = [dir.join(name), dir.join(format!("{name}.gz"))];
    let found = [plain, packed].into_iter().find(|path| path.is_file());
    found.ok_or_else(|| DataError::MissingFile { path: dir.into(), expected: format!("{name} or {name}.gz") })
}

fn formed(pixels: Vec<u8>, form: Form) -> Vec<u8> {
    let [channels, side, _] = form.shape();
    let margin = (side - SIDE) / 2;
    if margin == 0 {
        return pixels;
    }
    let n_images = pixels.len() / (SIDE * SIDE);
    let mut padded = vec![0; n_images * channels * side * side];
    for (i, row) in pixels.chunks_exact(SIDE).enumerate() {
        let (image, y) = (i / SIDE, i % SIDE);
        for channel in 0..channels {
            let start = ((image * channels + channel) * side + y + margin) * side + margin;
            padded[start..start + SIDE].copy_from_slice(row);
        }
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_puts_the_image_in_the_middle_of_every_channel() {
        let pixels: Vec<u8> = (0..2 * SIDE * SIDE).map(|i| (i % 251) as u8).collect();
        assert_eq!(formed(pixels.clone(), Form::Original), pixels);
        for (form, channels) in [(Form::Padded, 1), (Form::PaddedRgb, 3)] {
            let padded = formed(pixels.clone(), form);
            assert_eq!(padded.len(), 2 * channels * 32 * 32);
            for (at, level) in padded.into_iter().enumerate() {
                let (image, y, x) = (at / (channels * 1024), at / 32 % 32, at % 32);
                let inside = (2..30).contains(&y) && (2..30).contains(&x);
                let expected = if inside { pixels[(image * SIDE + y - 2) * SIDE + x - 2] } else { 0 };
                assert_eq!(level, expected, "{form:?}, image {image}, row {y}, column {x}");
            }
        }
    }
}
