//! MNIST and the sets in its format: four idx files, plain or packed by gzip.
//!
//! | file | holds |
//! |---|---|
//! | `train-images-idx3-ubyte` | training images of 28x28 |
//! | `train-labels-idx1-ubyte` | their labels, 0 to 9 |
//! | `t10k-images-idx3-ubyte` | test images |
//! | `t10k-labels-idx1-ubyte` | their labels |
//!
//! A name may end in `.gz`, have `.` or `_` in place of any `-` and `test` in place of `t10k`, and
//! use capital letters. Fashion-MNIST and KMNIST have the same files and are read too.
//!
//! # EMNIST
//!
//! The names of EMNIST's files begin with the name of the set, as in
//! `emnist-letters-train-images-idx3-ubyte.gz`, and its folder holds six sets. [`read_set`] reads
//! one of them and takes its classes from its name (see [`LabelSet`]). EMNIST's images are stored
//! transposed, with rows and columns exchanged, and are read as they are. [`Images::transposed`]
//! transposes them back:
//!
//! ```no_run
//! use flowkit::data::{Split, mnist};
//!
//! let split = mnist::read_set("data/emnist", "emnist-letters", mnist::ImageShape::Padded)?;
//! let split = Split { train: split.train.transposed(), test: split.test.transposed(), ..split };
//! # Ok::<(), flowkit::data::DataError>(())
//! ```
//!
//! References: LeCun, Cortes & Burges, *The MNIST database of handwritten digits*; Cohen, Afshar,
//! Tapson & van Schaik 2017, "EMNIST: an extension of MNIST to handwritten letters".

mod file_names;
mod label_set;

use std::path::{Path, PathBuf};

use super::idx::Idx;
use super::{DataError, Images, Labels, Split};
pub(super) use file_names::looked_for;
use file_names::{FileName, Sets};
pub use label_set::LabelSet;

/// Height and width of every image.
const SIDE: usize = 28;

/// Pixels that [`ImageShape::Padded`] puts on every side.
const MARGIN: usize = 2;

/// Format in which an image of 28x28 is returned.
///
/// Padding adds pixels that any model predicts, so bits/dim differ between the forms. Compare them
/// within one form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageShape {
    /// `[1, 28, 28]`, unchanged.
    Original,
    /// `[1, 32, 32]`, with a margin of two black pixels: a power of two for squeezes.
    Padded,
    /// `[3, 32, 32]`, the padded image three times: the data on which Kingma & Dhariwal 2018 train
    /// Glow.
    PaddedRgb,
}

impl ImageShape {
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

/// The images and labels of one pair of files, in file order. The classes are those of the set that
/// the name of the label file starts with, or the ten digits if it names none. For other classes
/// see [`read_labelled`].
///
/// # Errors
///
/// For either file: [`DataError::Io`], [`DataError::Gzip`], [`DataError::TruncatedHeader`],
/// [`DataError::IdxMagic`], [`DataError::NoRecords`], [`DataError::TooLarge`],
/// [`DataError::TruncatedRecord`], [`DataError::TrailingBytes`]. [`DataError::ImageSize`] if images
/// are not 28x28, [`DataError::CountsDiffer`] if the numbers of images and labels differ,
/// [`DataError::LabelOutOfRange`].
pub fn read_files(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
    form: ImageShape,
) -> Result<Images, DataError> {
    let name = labels.as_ref().file_name().and_then(FileName::of);
    let label_set = name.map_or(LabelSet::Digits, |name| LabelSet::of(&name.set));
    read_labelled(images, labels, form, label_set)
}

/// The images and labels of one pair of files with any names, in file order.
///
/// # Errors
///
/// Those of [`read_files`].
pub fn read_labelled(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
    form: ImageShape,
    label_set: LabelSet,
) -> Result<Images, DataError> {
    let (path, labels_path) = (images.as_ref(), labels.as_ref());
    let images = Idx::<3>::open(path, "images", |size| {
        let found = [size[0], size[1]];
        let expected = [SIDE, SIDE];
        if found == expected {
            Ok(())
        } else {
            Err(DataError::ImageSize { path: path.into(), expected, found })
        }
    })?;
    let labels = Idx::<1>::open(labels_path, "labels", |_| Ok(()))?;
    // Known from the headers, before anything is unpacked.
    if labels.n_records != images.n_records {
        let (expected, found) = (images.n_records, labels.n_records);
        return Err(DataError::CountsDiffer { path: labels_path.into(), expected, found });
    }
    let (pixels, labels) = (images.records()?, labels.records()?);
    let (names, min) = (label_set.names(), label_set.first());
    let class = |(record, &found): (usize, &u8)| match found.checked_sub(min).map(u16::from) {
        Some(class) if usize::from(class) < names.len() => Ok(class),
        _ => {
            // At most 256 names, so a byte can count them from 0.
            let max = (names.len() + usize::from(min)).saturating_sub(1) as u8;
            Err(DataError::LabelOutOfRange { path: labels_path.into(), record, min, max, found })
        }
    };
    let classes = labels.iter().enumerate().map(class).collect::<Result<_, _>>()?;
    let labels = Labels::new(classes, names)?;
    Images::new(formed(pixels, form), form.shape())?.with_labels(labels)
}

/// The training and test set in a folder of four files.
///
/// # Errors
///
/// [`LayoutError::SeveralSets`](super::LayoutError::SeveralSets) if it holds files of more than one
/// set; and the errors of [`read_set`].
///
/// # Example
///
/// ```no_run
/// use flowkit::data::mnist::{ImageShape, read_dir};
///
/// let split = read_dir("data/mnist", ImageShape::Padded)?;
/// assert_eq!(split.train.shape(), [1, 32, 32]);
/// assert_eq!(split.train.labels().map(|labels| labels.n_classes()), Some(10));
/// # Ok::<(), flowkit::data::DataError>(())
/// ```
pub fn read_dir(dir: impl AsRef<Path>, form: ImageShape) -> Result<Split, DataError> {
    let sets = Sets::of(dir.as_ref())?;
    read(&sets, &sets.only()?, form)
}

/// The set in a folder whose file names begin with `set` and a hyphen, such as `emnist-letters`; an
/// empty `set` is MNIST. In both, `.` and `_` count as hyphens.
///
/// Of several files whose names differ only in spelling, an unpacked one is preferred, then MNIST's
/// own spelling. The [`Report`](super::Report) lists the others.
///
/// # Errors
///
/// [`DataError::MissingFile`] for the first of the four files that is missing under all of its
/// names; and the errors of [`read_files`].
pub fn read_set(dir: impl AsRef<Path>, set: &str, form: ImageShape) -> Result<Split, DataError> {
    read(&Sets::of(dir.as_ref())?, set, form)
}

fn read(sets: &Sets<'_>, set: &str, form: ImageShape) -> Result<Split, DataError> {
    let ([train, test], report) = sets.files(set)?;
    let read = |[images, labels]: [PathBuf; 2]| read_files(images, labels, form);
    Ok(Split { train: read(train)?, test: read(test)?, report })
}

/// Whether `dir` holds any file of a set in MNIST's format.
pub(super) fn recognizes(dir: &Path) -> Result<bool, DataError> {
    Ok(!Sets::of(dir)?.is_empty())
}

fn formed(pixels: Vec<u8>, form: ImageShape) -> Vec<u8> {
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
        assert_eq!(formed(pixels.clone(), ImageShape::Original), pixels);
        for (form, channels) in [(ImageShape::Padded, 1), (ImageShape::PaddedRgb, 3)] {
            let padded = formed(pixels.clone(), form);
            assert_eq!(padded.len(), 2 * channels * 32 * 32);
            for (at, level) in padded.into_iter().enumerate() {
                let (image, y, x) = (at / (channels * 1024), at / 32 % 32, at % 32);
                let inside = (2..30).contains(&y) && (2..30).contains(&x);
                let expected =
                    if inside { pixels[(image * SIDE + y - 2) * SIDE + x - 2] } else { 0 };
                assert_eq!(level, expected, "{form:?}, image {image}, row {y}, column {x}");
            }
        }
    }
}
