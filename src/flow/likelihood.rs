//! Log-likelihoods and bits/dim, whose types state how they were found.
//! ```text
//! bits/dim = −mean(ln p) / (D ln 2)         D elements per example
//! ```
//! An exact density, a bound from a single sample and a bound from `k` importance-weighted samples
//! have different types, so that they cannot be compared by accident. There is no exact likelihood
//! of discrete data here: its tensors are `Int`, and only a [`crate::Surjection`] accepts them, so
//! the noise cannot be left out.

use crate::counted::counted;
use std::f64::consts::LN_2;
use std::fmt::{Debug, Display, Formatter, Result as FmtResult};

/// How a log-likelihood was found.
pub trait Provenance: Copy + PartialEq + Debug + Display + Send + Sync + 'static {
    /// Whether it is the value of a density, as for continuous data. For discrete data only a bound
    /// is known, and reports state it in bits/dim too.
    const OF_DENSITY: bool;
}

/// The density itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact;

/// A lower bound of the log-likelihood from one sample of the noise; for bits/dim, an upper bound
/// in expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneSampleBound;

/// A lower bound of the log-likelihood from the mean of `samples` importance weights (Burda et al.
/// 2016). The bound tightens as `samples` grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportanceWeightedBound {
    /// Number of importance samples of each example.
    pub samples: usize,
}

/// The provenance of a known density: its samples have log-densities.
#[diagnostic::on_unimplemented(
    message = "the log-density of samples is known for continuous data only",
    note = "`flow.continuous()` is the density of the lifted data"
)]
pub trait IsExact: Provenance {}

/// The provenance of a bound that more samples of the noise tighten.
#[diagnostic::on_unimplemented(
    message = "importance weights tighten a bound; this log-likelihood is exact",
    note = "`evaluate` returns it"
)]
pub trait IsBound: Provenance {}

impl IsExact for Exact {}
impl IsBound for OneSampleBound {}
impl Provenance for Exact {
    const OF_DENSITY: bool = true;
}
impl Provenance for OneSampleBound {
    const OF_DENSITY: bool = false;
}
impl Provenance for ImportanceWeightedBound {
    const OF_DENSITY: bool = false;
}

impl Display for Exact {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("exact")
    }
}

impl Display for OneSampleBound {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("one-sample bound")
    }
}

impl Display for ImportanceWeightedBound {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "importance-weighted bound, {}", counted(self.samples, "sample"))
    }
}

/// Log-likelihoods of several examples, in nats, with their provenance.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLikelihood<P> {
    nats: Vec<f64>,
    dims: usize,
    provenance: P,
}

impl<P: Provenance> LogLikelihood<P> {
    pub(crate) fn new(nats: Vec<f64>, dims: usize, provenance: P) -> Self {
        Self { nats, dims, provenance }
    }

    /// `ln p` of each example, in nats.
    pub fn nats(&self) -> &[f64] {
        &self.nats
    }

    /// Number of elements of an example.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// How the values were found.
    pub fn provenance(&self) -> P {
        self.provenance
    }

    /// Adds the examples of another evaluation.
    ///
    /// # Panics
    /// If the other examples have a different size or provenance (a different number of importance
    /// samples).
    pub fn extend(&mut self, other: Self) {
        assert_eq!(self.dims, other.dims, "expected examples with the same number of elements");
        assert_eq!(self.provenance, other.provenance, "expected examples with the same provenance");
        self.nats.extend(other.nats);
    }
}

/// Bits per dimension, lower is better, with its provenance.
///
/// There is no public constructor: values come from a [`LogLikelihood`], or from the
/// [`Update`](crate::train::Update) of a trainer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BitsPerDim<P> {
    value: f64,
    provenance: P,
}

impl<P: Provenance> BitsPerDim<P> {
    /// From a loss: minus a mean log-likelihood, in nats per example.
    pub(crate) fn of_loss(nats: f64, dims: usize, provenance: P) -> Self {
        Self { value: nats / (dims as f64 * LN_2), provenance }
    }

    /// The value, in bits per dimension.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// How it was found.
    pub fn provenance(&self) -> P {
        self.provenance
    }
}

impl<P: Provenance> Display for BitsPerDim<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{:.4} bits/dim ({})", self.value, self.provenance)
    }
}

/// `ln mean exp` of successive values, in one pass.
///
/// Keeps the maximum and the sum relative to it, so neither overflows: each term is at most 1, and
/// the largest is 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogMeanExp {
    max: f64,
    sum: f64,
    count: usize,
}

impl LogMeanExp {
    pub(crate) fn new() -> Self {
        Self { max: f64::NEG_INFINITY, sum: 0.0, count: 0 }
    }

    pub(crate) fn push(&mut self, value: f64) {
        if value > self.max {
            self.sum = self.sum * (self.max - value).exp() + 1.0;
            self.max = value;
        } else {
            self.sum += (value - self.max).exp();
        }
        self.count += 1;
    }

    pub(crate) fn value(&self) -> f64 {
        self.max + (self.sum / self.count as f64).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_nats_over_dims_and_ln_two() {
        let likelihood = LogLikelihood::new(vec![-2.0 * LN_2, -4.0 * LN_2], 3, OneSampleBound);
        let bits = likelihood.bits_per_dim();
        assert!((bits.value() - 1.0).abs() < 1e-15);
        assert_eq!(bits.to_string(), "1.0000 bits/dim (one-sample bound)");
    }

    #[test]
    fn log_mean_exp_in_one_pass() {
        for offset in [-20_000.0, 0.0, 20_000.0] {
            let values = [1.0, -3.0, 2.5, 2.5, -700.0];
            let mut mean = LogMeanExp::new();
            values.iter().for_each(|v| mean.push(v + offset));
            let expected = (values.iter().map(|v: &f64| v.exp()).sum::<f64>() / 5.0).ln() + offset;
            assert!((mean.value() - expected).abs() < 1e-11, "{} {expected}", mean.value());
        }
    }
}
