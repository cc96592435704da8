//! Everything that can end the example of posteriors early.

use std::io;
use std::path::PathBuf;

use flowkit::calibration::CalibrationError;
use flowkit::data::table::TableError;
use flowkit::train::CheckpointError;

use crate::corner::NotDrawn;
use crate::files::NotWritten;

/// Everything that can end the example early.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The texts say it.
pub enum Failure {
    #[error("--{flag} {value}: must be {expected}")]
    Argument { flag: &'static str, value: String, expected: String },
    #[error(
        "{}: expected columns whose names begin with `{prefix}`, found {found}",
        path.display()
    )]
    NoColumns { path: PathBuf, prefix: &'static str, found: String },
    #[error("{}: expected the columns {expected}, found {found}", path.display())]
    Columns { path: PathBuf, expected: String, found: String },
    #[error("{}: expected one row, found {found}", path.display())]
    Rows { path: PathBuf, found: usize },
    #[error("{}: {source}", path.display())]
    Within { path: PathBuf, r#source: Box<TableError> },
    #[error(
        "{}: found no file whose name begins with `observation` and ends with `.csv`",
        path.display()
    )]
    NoObservations { path: PathBuf },
    #[error(
        "{} and {}: expected a name of its own for each observation, found {name} for both",
        first.display(),
        second.display()
    )]
    SameName { first: PathBuf, second: PathBuf, name: String },
    /// The text contains that of the cause: `r#source`, instead of `source`, keeps thiserror from
    /// giving it once more.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, r#source: io::Error },
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
    #[error("cannot make a picture: {reason}")]
    Picture { reason: String },
    #[error(transparent)]
    NotDrawn(#[from] NotDrawn),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Of flowkit, with its own text.
    #[error("{0}")]
    Flowkit(Box<flowkit::Error>),
}

macro_rules! of_flowkit {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Flowkit(Box::new(error.into()))
            }
        }
    )+};
}

of_flowkit!(flowkit::Error, TableError, CalibrationError, CheckpointError);
