//! State dicts: named arrays, as other libraries save the parameters of a model.
//!
//! | format | read | written |
//! |---|---|---|
//! | npz (NumPy, TensorFlow users) | yes | yes |
//! | safetensors | yes | yes |
//! | `.pt`, `.pth` (PyTorch) | yes | no |

mod array;
pub(crate) mod assign;
mod error;
mod npy;
mod npz;
mod safetensors;
pub(crate) mod slot;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

pub use array::{Array, Values};
pub use error::StateDictError;

use crate::whole_file;

/// Most bytes of a file: what a machine can address.
const MOST_BYTES: u64 = isize::MAX as u64;

/// Named arrays of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StateDict {
    path: PathBuf,
    arrays: BTreeMap<String, Array>,
}

impl StateDict {
    /// The arrays of a file, whose first bytes say its format.
    ///
    /// # Errors
    /// [`StateDictError::Read`]; [`StateDictError::Malformed`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, StateDictError> {
        let path = path.as_ref();
        let bytes = whole_file::read(path, MOST_BYTES)
            .map_err(|source| StateDictError::Read { path: path.into(), source })?;
        let is_zip = npz::MAGIC.iter().any(|magic| bytes.starts_with(magic));
        let (format, arrays) = if is_zip {
            ("npz", npz::read(&bytes))
        } else {
            ("safetensors", safetensors::read(&bytes))
        };
        let malformed = |reason| StateDictError::Malformed { path: path.into(), format, reason };
        Ok(Self { path: path.into(), arrays: arrays.map_err(malformed)? })
    }

    /// Writes an npz file, uncompressed: either the whole file or nothing. Equal arrays give equal
    /// bytes.
    ///
    /// # Errors
    /// [`StateDictError::Write`].
    pub fn write_npz(&self, path: impl AsRef<Path>) -> Result<(), StateDictError> {
        let path = path.as_ref();
        let written = whole_file::write(path, |out| {
            npz::write(&self.arrays, out).map_err(std::io::Error::other)
        });
        written.map_err(|source| StateDictError::Write { path: path.into(), source })
    }

    /// Without any array.
    pub fn new() -> Self {
        Self::default()
    }

    /// Named arrays; of two with one name, the later one.
    pub fn of(arrays: impl IntoIterator<Item = (String, Array)>) -> Self {
        Self { path: PathBuf::new(), arrays: arrays.into_iter().collect() }
    }

    /// The same arrays as those of a file.
    pub(crate) fn from_file(self, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// The file that they are from; empty if they are from none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Their names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// Their names that begin like this, in alphabetical order.
    pub(crate) fn names_within<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let names = self.arrays.range::<str, _>(from).map(|(name, _)| name.as_str());
        names.take_while(move |name| name.starts_with(prefix))
    }

    /// The array of a name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// Number of values in all arrays.
    pub fn num_values(&self) -> usize {
        self.arrays.values().map(|array| array.values().len()).sum()
    }

    /// Adds an array, in the place of another one of that name.
    pub fn insert(&mut self, name: impl Into<String>, array: Array) {
        self.arrays.insert(name.into(), array);
    }
}
