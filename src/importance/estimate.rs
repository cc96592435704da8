//! Estimate: a value with its standard error.

use std::fmt::{Display, Formatter, Result as FmtResult};

/// An estimate from random samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Standard deviation of the estimate over repetitions, as the samples themselves suggest it.
    pub standard_error: f64,
}

impl Display for Estimate {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{:.4} ± {:.4}", self.value, self.standard_error)
    }
}
