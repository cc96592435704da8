//! Errors of a fit.

use std::fmt;

use super::data::FitDataError;
use super::fitted::Fitted;
use super::flow::FitFlow;
use crate::error::{ConfigError, FlowError};
use crate::train::TrainError;

/// Why a fit could not begin, or failed.
#[non_exhaustive]
pub enum FitError<F: FitFlow> {
    /// An invalid configuration.
    Config(ConfigError),
    /// Data that no flow can be fitted to.
    Data(FitDataError),
    /// An example, a condition or a batch that the flow does not accept. Examples are numbered as
    /// in the data.
    Flow(FlowError),
    /// A model that cannot be trained.
    Train(TrainError),
    /// An update or an evaluation failed during training.
    Broken {
        /// The reason.
        error: TrainError,
        /// The best weights until then, with their report.
        best: Box<Fitted<F>>,
    },
}

impl<F: FitFlow> FitError<F> {
    /// The best weights before the training failed, or `None` if it had not begun.
    pub fn into_best(self) -> Option<Fitted<F>> {
        if let Self::Broken { best, .. } = self { Some(*best) } else { None }
    }
}

impl<F: FitFlow> fmt::Display for FitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Data(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
            Self::Train(error) => error.fmt(f),
            Self::Broken { error, best } => {
                let step = best.report.best_step;
                write!(
                    f,
                    "training failed: {error}; `FitError::into_best` returns the best weights, \
                     those of update {step}"
                )
            }
        }
    }
}

/// The text of the error: weights are of no use in a message.
impl<F: FitFlow> fmt::Debug for FitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Config(_) => "Config",
            Self::Data(_) => "Data",
            Self::Flow(_) => "Flow",
            Self::Train(_) => "Train",
            Self::Broken { .. } => "Broken",
        };
        write!(f, "{name}({self})")
    }
}

impl<F: FitFlow> std::error::Error for FitError<F> {}

impl<F: FitFlow> From<ConfigError> for FitError<F> {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl<F: FitFlow> From<FitDataError> for FitError<F> {
    fn from(error: FitDataError) -> Self {
        Self::Data(error)
    }
}

impl<F: FitFlow> From<FlowError> for FitError<F> {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl<F: FitFlow> From<TrainError> for FitError<F> {
    fn from(error: TrainError) -> Self {
        Self::Train(error)
    }
}
