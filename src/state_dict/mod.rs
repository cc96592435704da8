//! State dicts: named arrays, as other libraries save the parameters of a model.
//!
//! | format | read | written |
//! |---|---|---|
//! | npz: `numpy.savez`, `numpy.savez_compressed` | versions 1 to 3 of its arrays, either byte order, C and Fortran order, stored or deflated | yes, stored |
//! | safetensors | yes | yes |
//! | `.pt`, `.pth`: `torch.save(model.state_dict(), path)` since PyTorch 1.6 | any strides, storages that tensors share, parameters | no |
//!
//! [`StateDict::read`] tells them apart by their contents, whatever the file is called.
//!
//! | numbers in the file | [`Values`] |
//! |---|---|
//! | float16, bfloat16, float32 | `F32` |
//! | float64 | `F64` |
//! | integers of 8 to 64 bits, booleans (0 and 1) | `I64` |
//!
//! No number changes. An unsigned integer above `i64::MAX` is an error. Names are kept as they are;
//! those of an npz file lose the ending `.npy`, and may have slashes (`Norm_3/norm0/g`).
//!
//! ```
//! use flowkit::state_dict::{Array, StateDict, Values};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("weights.npz");
//! let weight = Array::new([2, 3], Values::F32(vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5]));
//! StateDict::of([("linear/weight".into(), weight.clone())]).write_npz(&path)?;
//!
//! let state = StateDict::read(&path)?; // in Python: numpy.load(path)
//! assert_eq!(state.names().collect::<Vec<_>>(), ["linear/weight"]);
//! assert_eq!(state.get("linear/weight"), Some(&weight));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files from others
//! A file is data, never code: the pickle in a `.pt` file calls nothing, and any name in it that
//! PyTorch does not use for a state dict is an error. What a file claims is checked before memory
//! is reserved for it, so memory is bounded by the file and its arrays:
//!
//! | what | at most |
//! |---|---|
//! | the file | once |
//! | deflated bytes | 1032 times as many when unpacked, one array at a time |
//! | arrays | 8 bytes for a byte of integers or booleans, 4 for 2 of half precision |
//! | tensors of `.pt` files, which may share numbers | 64 times the file |
//! | objects of a pickle, of 256 MiB at most | 256 times the pickle |
//!
//! | error | files |
//! |---|---|
//! | [`StateDictError::Malformed`] | that break a rule of the format: sizes, offsets and checksums that do not fit, names that occur twice or are paths out of the archive, entries that share bytes, bytes behind the end |
//! | [`StateDictError::Unsupported`] | that follow it and hold something else: objects, texts, structured types and complex numbers of NumPy, other packings, encryption, whole models and optimizers of PyTorch, its format from before 1.6 |
//! | [`StateDictError::Unrecognized`] | of other formats |

mod archive;
mod array;
pub(crate) mod assign;
mod error;
mod fault;
mod field;
mod format;
mod npy;
mod npz;
mod number;
mod pickle;
mod pytorch;
mod safetensors;
pub(crate) mod slot;
mod strided;

use std::collections::BTreeMap;
use std::io::{Result as IoResult, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};

pub use array::{Array, Values};
pub use error::StateDictError;

use self::format::Format;
use crate::error::ConfigError;
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
    /// [`StateDictError::Read`]; [`StateDictError::Unrecognized`]; [`StateDictError::Malformed`];
    /// [`StateDictError::Unsupported`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, StateDictError> {
        let path = path.as_ref();
        Self::from_bytes(&contents(path)?, path)
    }

    /// The arrays of an npz file.
    ///
    /// # Errors
    /// [`StateDictError::Read`]; [`StateDictError::Malformed`], also for a file of another format;
    /// [`StateDictError::Unsupported`].
    pub fn read_npz(path: impl AsRef<Path>) -> Result<Self, StateDictError> {
        Self::read_format(path.as_ref(), Format::Npz)
    }

    /// The arrays of a safetensors file.
    ///
    /// # Errors
    /// As [`StateDict::read_npz`].
    pub fn read_safetensors(path: impl AsRef<Path>) -> Result<Self, StateDictError> {
        Self::read_format(path.as_ref(), Format::Safetensors)
    }

    /// The arrays of a file that `torch.save(model.state_dict(), path)` wrote.
    ///
    /// # Errors
    /// As [`StateDict::read_npz`].
    pub fn read_pytorch(path: impl AsRef<Path>) -> Result<Self, StateDictError> {
        Self::read_format(path.as_ref(), Format::PyTorch)
    }

    /// The arrays of a file that is in memory. `path` names it in errors and need not exist.
    ///
    /// # Errors
    /// Those of [`StateDict::read`], without [`StateDictError::Read`].
    pub fn from_bytes(bytes: &[u8], path: impl Into<PathBuf>) -> Result<Self, StateDictError> {
        let path = path.into();
        match Format::of(bytes) {
            Some(format) => Self::parse(bytes, path, format),
            None => Err(StateDictError::Unrecognized { path }),
        }
    }

    fn read_format(path: &Path, format: Format) -> Result<Self, StateDictError> {
        Self::parse(&contents(path)?, path.into(), format)
    }

    fn parse(bytes: &[u8], path: PathBuf, format: Format) -> Result<Self, StateDictError> {
        match format.read(bytes) {
            Ok(arrays) => Ok(Self { path, arrays }),
            Err(fault) => Err(fault.in_file(&path, format.name())),
        }
    }

    /// Writes an npz file, uncompressed: either the whole file or nothing. Equal arrays give equal
    /// bytes.
    ///
    /// # Errors
    /// [`StateDictError::Write`], also for a name that is a path out of the archive or has more
    /// than 65531 bytes, and for more than 64 axes.
    pub fn write_npz(&self, path: impl AsRef<Path>) -> Result<(), StateDictError> {
        self.write(path.as_ref(), npz::write)
    }

    /// Writes a safetensors file: either the whole file or nothing. Equal arrays give equal bytes.
    ///
    /// # Errors
    /// [`StateDictError::Write`], also for the name `__metadata__`, which the format reserves.
    pub fn write_safetensors(&self, path: impl AsRef<Path>) -> Result<(), StateDictError> {
        self.write(path.as_ref(), safetensors::write)
    }

    fn write(
        &self,
        path: &Path,
        format: fn(&BTreeMap<String, Array>, &mut dyn Write) -> IoResult<()>,
    ) -> Result<(), StateDictError> {
        whole_file::write(path, |out| format(&self.arrays, out))
            .map_err(|source| StateDictError::Write { path: path.into(), source })
    }

    /// Without any array.
    pub fn new() -> Self {
        Self::default()
    }

    /// Named arrays; of two with one name, the later one.
    pub fn of(arrays: impl IntoIterator<Item = (String, Array)>) -> Self {
        Self { path: PathBuf::new(), arrays: arrays.into_iter().collect() }
    }

    /// Checks that a model has at most `factor` times as many parameters as there are numbers. A
    /// few names and shapes claim any size; a file with the numbers is as large itself.
    pub(crate) fn check_claim(&self, claimed: usize, factor: usize) -> Result<(), StateDictError> {
        let held = self.num_values();
        if claimed <= held.saturating_mul(factor) {
            return Ok(());
        }
        let reason =
            format!("expected the {claimed} parameters of the model, found {held} numbers");
        Err(StateDictError::Undetermined { path: self.path.clone(), reason })
    }

    /// The error for sizes that break a rule of a model's configuration.
    pub(crate) fn invalid(&self, error: ConfigError) -> StateDictError {
        StateDictError::Config { path: self.path.clone(), r#source: Box::new(error) }
    }

    /// The same arrays as those of a file.
    pub(crate) fn with_path(self, path: impl Into<PathBuf>) -> Self {
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

/// The bytes of a regular file.
fn contents(path: &Path) -> Result<Vec<u8>, StateDictError> {
    whole_file::read(path, MOST_BYTES)
        .map_err(|source| StateDictError::Read { path: path.into(), source })
}
