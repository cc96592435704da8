//! The folder of a saved model: its weights, and `model.json` with all that these do not say.
//!
//! The weights are written first. `model.json` has their checksum, so that files that do not belong
//! together, as a program leaves them that is killed between the two, are found when they are read.

use std::path::{Path, PathBuf};

use flowkit::data::table::TableError;
use flowkit::whole_file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::plane::Failure;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<T> {
    /// CRC-32 of the file of weights.
    weights_crc32: u32,
    model: T,
}

/// The file of weights.
pub fn weights(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

fn description(folder: &Path) -> PathBuf {
    folder.join("model.json")
}

fn bytes(path: &Path) -> Result<Vec<u8>, TableError> {
    let fail = |source| TableError::Io { path: path.to_path_buf(), source };
    whole_file::read(path, u64::MAX).map_err(fail)
}

/// Describes a model whose weights are in the folder.
///
/// # Errors
/// If the weights cannot be read or the description not be written.
pub fn write(folder: &Path, model: &impl Serialize) -> Result<(), Failure> {
    let saved = Saved { weights_crc32: crc32fast::hash(&bytes(&weights(folder))?), model };
    let text = serde_json::to_string_pretty(&saved)?;
    Ok(files::write(&description(folder), "model", &text)?)
}

/// The model in a folder.
///
/// # Errors
/// [`Failure::Table`] if a file cannot be read; [`Failure::Description`] for one that describes no
/// such model; [`Failure::OtherWeights`] for weights that were not written with it.
///
/// ```
/// use flowkit_runs::plane::Failure;
/// use flowkit_runs::saved_model::{read, weights, write};
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(weights(folder.path()), [1, 2, 3])?;
/// write(folder.path(), &"a model")?;
/// assert_eq!(read::<String>(folder.path())?, "a model");
/// std::fs::write(weights(folder.path()), [3, 2, 1])?;
/// let error = read::<String>(folder.path()).unwrap_err();
/// assert!(matches!(error, Failure::OtherWeights { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read<T: DeserializeOwned>(folder: &Path) -> Result<T, Failure> {
    let path = description(folder);
    let found = serde_json::from_slice(&bytes(&path)?);
    let saved: Saved<T> = found.map_err(|source| Failure::Description { path, source })?;
    let path = weights(folder);
    if crc32fast::hash(&bytes(&path)?) != saved.weights_crc32 {
        return Err(Failure::OtherWeights { path });
    }
    Ok(saved.model)
}
