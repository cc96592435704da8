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

/// The largest magnitude of some numbers, or 1 if all are 0. Means and squares are those of the
/// numbers in this unit: the square of a number over 1e154 would overflow, as would the sum of a
/// few numbers near the largest of float64.
pub(super) fn largest_magnitude(values: impl Iterator<Item = f64>) -> f64 {
    let most = values.fold(0.0f64, |most, value| most.max(value.abs()));
    if most > 0.0 { most } else { 1.0 }
}

impl Estimate {
    /// An estimate of the mean of numbers within ±1, of which one is a unit. Such a mean, and its
    /// standard error, are at most 1; a sum may pass 1 by its rounding, which would overflow in
    /// the largest unit.
    pub(super) fn of_unit(self, unit: f64) -> Self {
        let within = |number: f64| unit * number.clamp(-1.0, 1.0);
        Self { value: within(self.value), standard_error: within(self.standard_error) }
    }
}

impl Display for Estimate {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{:.4} ± {:.4}", self.value, self.standard_error)
    }
}
