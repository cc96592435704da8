//! Errors of importance sampling.

use crate::counted::counted;
use crate::error::FlowError;

/// Weights that admit no estimate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportanceError {
    /// A log-weight is NaN or `+∞`. A log-weight of `−∞` is allowed: the weight is 0.
    #[error("the log-weight of sample {sample} must be a number or -∞, found {found}")]
    LogWeight {
        /// First such sample.
        sample: usize,
        /// Its log-weight.
        found: f64,
    },
    /// Every weight is 0.
    #[error(
        "expected a positive weight among those of {}, found none",
        counted(*samples, "sample")
    )]
    AllZero {
        /// Number of samples.
        samples: usize,
    },
    /// Too few samples for an estimate.
    #[error("{what}: expected at least {}, found {found}", counted(*least, "sample"))]
    TooFew {
        /// The estimate.
        what: &'static str,
        /// Smallest number of samples that it is defined for.
        least: usize,
        /// Number of samples.
        found: usize,
    },
    /// The number of values differs from that of the weights.
    #[error("{} need as many values, found {found}", counted(*expected, "weight"))]
    ValueCount {
        /// Number of weights.
        expected: usize,
        /// Number of values.
        found: usize,
    },
    /// A value whose mean is to be estimated is not finite, and its weight is not 0.
    #[error("the value of sample {sample} must be finite, found {found}")]
    Value {
        /// First such sample.
        sample: usize,
        /// Its value.
        found: f64,
    },
    /// The flow could not be sampled, or the target did not fit its samples.
    #[error(transparent)]
    Flow(#[from] FlowError),
}

impl ImportanceError {
    /// Checks the number of samples of an estimate.
    pub(super) fn at_least(what: &'static str, least: usize, found: usize) -> Result<(), Self> {
        if found >= least { Ok(()) } else { Err(Self::TooFew { what, least, found }) }
    }
}
