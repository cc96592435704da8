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
pub(crate) mod slot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use array::{Array, Values};
pub use error::StateDictError;

/// Named arrays of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StateDict {
    path: PathBuf,
    arrays: BTreeMap<String, Array>,
}

impl StateDict {
    /// Without any array.
    pub fn new() -> Self {
        Self::default()
    }

    /// Named arrays; of two with one name, the later one.
    pub fn of(arrays: impl IntoIterator<Item = (String, Array)>) -> Self {
        Self { path: PathBuf::new(), arrays: arrays.into_iter().collect() }
    }

    /// The file that they are from; empty if they are from none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Their names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// The array of a name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// Adds an array, in the place of another one of that name.
    pub fn insert(&mut self, name: impl Into<String>, array: Array) {
        self.arrays.insert(name.into(), array);
    }
}
