use std::path::Path;

use super::{DataError, Split, cifar10};

/// The data set in a folder, whichever kind it is; images of 32x32.
///
/// A folder with any `data_batch_*.bin` or a `test_batch.bin` in it is read by [`cifar10::read_dir`]. Any other is a folder
/// of PNG and JPEG files, read by `image_folder::read_dir` (feature `image`; without it such a folder is
/// [`DataError::NoTrainBatches`]).
///
/// # Errors
///
/// Those of the reader that the folder called for. [`DataError::Io`] if there is no such folder.
pub fn read(dir: impl AsRef<Path>) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    if cifar10::recognizes(dir)? {
        return cifar10::read_dir(dir);
    }
    #[cfg(feature = "image")]
    return super::image_folder::read_dir(dir, [cifar10::SHAPE[1], cifar10::SHAPE[2]]);
    #[cfg(not(feature = "image"))]
    return cifar10::read_dir(dir);
}
