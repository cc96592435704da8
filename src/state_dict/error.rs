//! Errors of files of named arrays.

use std::io;
use std::path::PathBuf;

use crate::error::ConfigError;

/// A file of named arrays that cannot be read, written or used.
///
/// The text of an error contains that of its cause, and `Error::source` is therefore `None`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateDictError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        r#source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The target file.
        path: PathBuf,
        /// What the system reported.
        r#source: io::Error,
    },
    /// The file breaks a rule of its format.
    #[error("{} is not a valid {format} file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format that it was read in.
        format: &'static str,
        /// The first rule that it breaks, and where.
        reason: String,
    },
    /// The file follows the rules of its format, and holds what this crate does not read.
    #[error("{}: cannot read this {format} file: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format that it was read in.
        format: &'static str,
        /// What was expected and what was found.
        reason: String,
    },
    /// The first bytes are those of none of the formats.
    #[error(
        "{}: expected a file of named arrays: npz, safetensors, or .pt of PyTorch 1.6 or later",
        path.display()
    )]
    Unrecognized {
        /// The file.
        path: PathBuf,
    },
    /// An array that the model needs is not in the file.
    #[error("{}: there is no array `{name}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
    },
    /// The file has arrays that the model does not use.
    #[error("{}: the model does not use {}", path.display(), listed(names))]
    Unused {
        /// The file.
        path: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// An array has another shape than the model's.
    #[error("{}: array `{name}`: expected shape {expected:?}, found {found:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// The shape in a file of this model.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// An array of integers stands where a parameter should.
    #[error("{}: array `{name}`: expected floating-point numbers, found integers", path.display())]
    Integers {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
    },
    /// A value is not finite.
    #[error("{}: array `{name}`: expected finite values, found {found}", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// The first such value.
        found: f64,
    },
    /// A value whose logarithm the model needs is not positive.
    #[error("{}: array `{name}`: expected positive values, found {found}", path.display())]
    NotPositive {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// The first such value.
        found: f64,
    },
    /// A value that the model has no parameter for differs from the model's own.
    #[error("{}: array `{name}`: expected {expected}, found {found}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// What the model computes with.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// The arrays do not determine a model.
    #[error("{}: {reason}", path.display())]
    Undetermined {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The model of these sizes breaks a rule of its configuration.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The rule.
        r#source: Box<ConfigError>,
    },
    /// The format has no place for a model of this configuration.
    #[error("the authors' format: expected `{field}` = {expected}, found {found}")]
    NotTheAuthors {
        /// The field of the configuration.
        field: &'static str,
        /// What the format can hold.
        expected: &'static str,
        /// What the configuration says.
        found: String,
    },
    /// A parameter that is to be written is not finite.
    #[error("parameter `{name}` is not finite: {found}")]
    NonFiniteParameter {
        /// Its path.
        name: String,
        /// The first such value.
        found: f64,
    },
    /// A parameter could not be copied from its device.
    #[error("parameter `{name}` cannot be copied from its device: {reason}")]
    Device {
        /// Its path.
        name: String,
        /// What the device reported.
        reason: String,
    },
}

/// The first names of a list, and how many there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}
