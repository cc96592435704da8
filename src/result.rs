//! One error type for a whole program: `?` converts every error to it that a function of this crate
//! returns.

use std::fmt;

use crate::calibration::CalibrationError;
use crate::data::DataError;
use crate::data::table::TableError;
use crate::error::{CapacityError, ConfigError, FlowError, ShapeError};
use crate::flow::FailedRow;
#[cfg(feature = "plot")]
use crate::flow::diagnose::PlotError;
use crate::importance::ImportanceError;
use crate::model::UnknownPreset;
use crate::state_dict::StateDictError;
use crate::tensor::finite::NonFiniteContext;
#[cfg(feature = "testing")]
use crate::testing::{ConformanceError, Failure};
use crate::train::fit::{FitDataError, FitFlow};
use crate::train::{CheckpointError, FitError, TrainError};

/// Any error that a function of this crate returns, or an error of files.
///
/// Each function returns a narrower error. This one is for programs that stop at the first error.
/// What only says why another error occurred is no error of its own here:
/// [`InitProblem`](crate::InitProblem), [`StateFault`](crate::train::StateFault),
/// [`ItemError`](crate::data::ItemError), and [`RowFault`](crate::flow::RowFault), which
/// [`FailedRow`] joins with its row.
#[derive(thiserror::Error)]
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
    /// A file of named arrays.
    #[error(transparent)]
    StateDict(#[from] StateDictError),
    /// Data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A diagnosis of calibration.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// Data that no flow can be fitted to.
    #[error(transparent)]
    FitData(#[from] FitDataError),
    /// Weights that admit no estimate.
    #[error(transparent)]
    Importance(#[from] ImportanceError),
    /// A name that no preset of a model has.
    #[error(transparent)]
    Preset(#[from] UnknownPreset),
    /// A plot of a diagnosis.
    #[cfg(feature = "plot")]
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A bijector that fails some of the checks.
    #[cfg(feature = "testing")]
    #[error(transparent)]
    Conformance(#[from] ConformanceError),
    /// A bijector that fails one check.
    #[cfg(feature = "testing")]
    #[error(transparent)]
    Check(#[from] Failure),
    /// A file of the caller's.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A row of a batch without a result is an error of the evaluation or sampling.
impl From<FailedRow> for Error {
    fn from(error: FailedRow) -> Self {
        Self::Flow(error.into())
    }
}

/// So is a condition that is not finite.
impl From<NonFiniteContext> for Error {
    fn from(error: NonFiniteContext) -> Self {
        Self::Flow(error.into())
    }
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

/// The text of the error: a program whose `main` returns [`Result`] prints this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The result of a program: `fn main() -> flowkit::Result<()>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;
