//! The reader for a folder whose kind of data set is not known.

use std::path::Path;

use super::{
    DataError, Split, cifar10,
    mnist::{self, ImageShape},
};

/// The data set in a folder, whichever kind it is; images of `[3, 32, 32]`.
///
/// | the folder holds | it is read by |
/// |---|---|
/// | any `data_batch_*.bin`, or a `test_batch.bin` | [`cifar10::read_dir`] |
/// | any of MNIST's four files, or those of a set with such names | [`mnist::read_dir`], as [`ImageShape::PaddedRgb`]; call it yourself for gray images |
/// | PNG and JPEG files, at any depth | `image_folder::read_dir`, without labels; call it yourself for labels (feature `image`) |
///
/// # Errors
///
/// Those of the reader that the table names. [`DataError::Io`] if there is no such folder,
/// [`LayoutError::NotAFolder`](super::LayoutError::NotAFolder) if it is a file,
/// [`DataError::Unrecognized`] if it holds none of the three; the error lists what was looked for
/// and what was found.
pub fn read(dir: impl AsRef<Path>) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    if cifar10::recognizes(dir)? {
        return cifar10::read_dir(dir);
    }
    if mnist::recognizes(dir)? {
        return mnist::read_dir(dir, ImageShape::PaddedRgb);
    }
    read_image_folder(dir)
}

#[cfg(feature = "image")]
fn read_image_folder(dir: &Path) -> Result<Split, DataError> {
    use super::image_folder::{self, Labelling};

    match image_folder::read_dir(dir, [cifar10::SHAPE[1], cifar10::SHAPE[2]], Labelling::Nothing) {
        // The error of the folder itself, not of its `train` or `test`.
        Err(DataError::NoImages { path, left_out, .. }) if path == dir => {
            let looked_for =
                vec![cifar10::looked_for(), mnist::looked_for(), image_folder::looked_for()];
            Err(DataError::Unrecognized { path, looked_for, left_out })
        }
        read => read,
    }
}

#[cfg(not(feature = "image"))]
fn read_image_folder(dir: &Path) -> Result<Split, DataError> {
    use super::Report;

    let images = "image files (which need the feature `image`)".to_owned();
    Err(DataError::Unrecognized {
        path: dir.into(),
        looked_for: vec![cifar10::looked_for(), mnist::looked_for(), images],
        left_out: Report::default(),
    })
}
