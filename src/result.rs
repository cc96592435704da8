//! One error type for a whole program: `?` converts every error of the crate to it.

use crate::data::DataError;
use crate::error::{CapacityError, ConfigError, FlowError, ShapeError};
use crate::train::fit::{FitDataError, FitFlow};
use crate::train::{CheckpointError, FitError, TrainError};

/// Any error of this crate, or of files.
///
/// Each function returns a narrower error. This one is for programs that stop at the first error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape that a layer or model does not take.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// An invalid configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// More elements than memory or a tensor can hold.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// An evaluation, sampling or initialisation.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// An update.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A fit that failed after it began. The best weights until then are not kept here:
    /// [`FitError::into_best`] returns them.
    #[error("training failed: {0}")]
    Training(TrainError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Data that no flow can be fitted to.
    #[error(transparent)]
    FitData(#[from] FitDataError),
    /// A file of the caller's.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl<F: FitFlow> From<FitError<F>> for Error {
    fn from(error: FitError<F>) -> Self {
        match error {
            FitError::Config(error) => error.into(),
            FitError::Data(error) => error.into(),
            FitError::Flow(error) => error.into(),
            FitError::Train(error) => error.into(),
            FitError::Broken { error, .. } => Self::Training(error),
        }
    }
}

/// The result of a program: `fn main() -> flowkit::Result<()>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;
