//! One error for a whole program: every error of the crate becomes it by `?`.

use crate::data::DataError;
use crate::error::{CapacityError, ConfigError, FlowError, ShapeError};
use crate::train::fit::{FitDataError, FitFlow};
use crate::train::{CheckpointError, FitError, TrainError};

/// Any error of this crate, or of files.
///
/// Each call returns the narrower error of its own; this one is for programs that end at the first.
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

/// The best weights of a failed training are not kept: [`FitError::into_best`] returns
/// them.
impl<F: FitFlow> From<FitError<F>> for Error {
    fn from(error: FitError<F>) -> Self {
        match error {
            FitError::Config(error) => error.into(),
            FitError::Data(error) => error.into(),
            FitError::Flow(error) => error.into(),
            FitError::Train(error) | FitError::Broken { error, .. } => error.into(),
        }
    }
}

/// What a program returns: `fn main() -> flowkit::Result<()>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;
