//! CIFAR-10 from the network, through `burn-dataset`.

use std::{
    panic,
    path::{Path, PathBuf},
};

use burn_dataset::{
    Dataset,
    vision::{CifarDataset, CifarType},
};

use super::{
    DataError, Split,
    cifar10::SHAPE,
    image_folder::{self, Labelling},
    panic_message::panic_message,
};

const WHAT: &str = "CIFAR-10";

/// The numbers of training and test images: <https://www.cs.toronto.edu/~kriz/cifar.html>.
const COMPLETE: [usize; 2] = [50_000, 10_000];

/// CIFAR-10, downloaded from the mirror that `burn-dataset` uses (about 130 MB) unless an earlier
/// call did so, and kept in the folder `burn-dataset/cifar10` of the user's cache.
///
/// The mirror holds the images as PNG files in one folder per class, which gives the labels. The
/// sets are in order of path, hence sorted by class: take a subset with
/// [`Images::select`](super::Images::select), not with [`Images::take`](super::Images::take).
///
/// # Errors
///
/// [`DataError::Download`] if the network or the archive fails; [`DataError::DownloadIncomplete`]
/// if the folder in the cache holds fewer images than CIFAR-10 has, as after an interrupted
/// download, which `burn-dataset` does not notice; and the errors of [`image_folder::read_dir`].
///
/// `burn-dataset` reports a failure by a panic. The panic is caught here, but the panic hook still
/// prints it, and in a program built with `panic = "abort"` it ends the program. It also poisons
/// the lock around the download, so every later call in the same process fails: to try again,
/// restart the program.
pub fn cifar10() -> Result<Split, DataError> {
    let dir =
        panic::catch_unwind(fetch).map_err(|payload| failed(panic_message(payload.as_ref())))??;
    let split = image_folder::read_dir(&dir, [SHAPE[1], SHAPE[2]], Labelling::SubFolder)?;
    let found = [split.train.len(), split.test.len()];
    if found != COMPLETE {
        return Err(DataError::DownloadIncomplete { path: dir, expected: COMPLETE, found });
    }
    Ok(split)
}

/// The folder of the data set. `burn-dataset` does not return it, but it names the path of each
/// image, three levels down: `train/<class>/<image>`. The files are then read here, in order of
/// path; `burn-dataset` promises no order.
fn fetch() -> Result<PathBuf, DataError> {
    let train = CifarDataset::new(CifarType::Cifar10).train();
    let first = train.get(0).map_err(|error| failed(error.to_string()))?;
    let dir = Path::new(&first.image_path).ancestors().nth(3);
    dir.map(Path::to_path_buf)
        .ok_or_else(|| failed(format!("unexpected path {}", first.image_path)))
}

fn failed(reason: String) -> DataError {
    DataError::Download { what: WHAT, reason }
}
