//! LogWeights: estimates from samples with log-weights, in float64 on the host.
//! ```text
//! w̄_i = w_i/Σ w,   r_i = n·w̄_i,  of mean 1
//! effective sample size    1/Σ w̄²                                      in [1, n]   (Kish 1965)
//! ln Ẑ                     ln Σ w − ln n
//!   its standard error     √(Σ (r − 1)²/(n (n − 1)))                   delta method
//! mean of f                μ̂ = Σ w̄ f                                  self-normalised
//!   its standard error     √(Σ w̄² (f − μ̂)²)                           delta method
//! ```
//! # Numerics
//! Weights are taken relative to the largest one, and values to the largest magnitude among them,
//! so nothing overflows. A weight of 0 has the log-weight `−∞`. The standard errors are those of
//! independent samples, and are themselves estimates: they are too small where the effective sample
//! size is small, as [`LogWeights::pareto_k`] reports.
//!
//! # Reference
//! Kish 1965 §8.2; Owen 2013 §9.2 and §9.3; Vehtari, Simpson, Gelman, Yao & Gabry 2024 (Pareto k).

use super::error::ImportanceError;
use super::estimate::{Estimate, largest_magnitude};
use super::independence_chain::IndependenceChain;
use super::pareto::{self, ParetoK};

/// The log-weights of independent samples, in nats. The formulas head this module.
///
/// ```
/// use flowkit::importance::LogWeights;
///
/// let weights = LogWeights::new(vec![0.0, 3f64.ln(), f64::NEG_INFINITY])?;
/// assert!((weights.effective_sample_size() - 16.0 / 10.0).abs() < 1e-12);
/// assert!((weights.log_z()?.value - (4.0f64 / 3.0).ln()).abs() < 1e-12);
/// let mean = weights.mean(&[1.0, 5.0, f64::NAN])?; // a weight of 0 hides its value
/// assert!((mean.value - 4.0).abs() < 1e-12);
/// # Ok::<(), flowkit::importance::ImportanceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LogWeights {
    nats: Vec<f64>,
    /// `w̄`, of sum 1.
    normalised: Vec<f64>,
    /// `ln Σ w`.
    log_sum: f64,
}

impl LogWeights {
    /// Log-weights in nats.
    ///
    /// # Errors
    /// [`ImportanceError::TooFew`] without any; [`ImportanceError::LogWeight`] for NaN or `+∞`;
    /// [`ImportanceError::AllZero`] if all are `−∞`.
    pub fn new(nats: Vec<f64>) -> Result<Self, ImportanceError> {
        ImportanceError::at_least("log-weights", 1, nats.len())?;
        let wrong = |value: &f64| value.is_nan() || *value == f64::INFINITY;
        if let Some(sample) = nats.iter().position(wrong) {
            return Err(ImportanceError::LogWeight { sample, found: nats[sample] });
        }
        let most = nats.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            return Err(ImportanceError::AllZero { samples: nats.len() });
        }
        let relative = || nats.iter().map(|value| (value - most).exp());
        // The largest term is 1, so the sum is at least 1.
        let sum: f64 = relative().sum();
        let normalised = relative().map(|weight| weight / sum).collect();
        Ok(Self { log_sum: most + sum.ln(), normalised, nats })
    }

    /// `ln w` of each sample, in nats.
    pub fn nats(&self) -> &[f64] {
        &self.nats
    }

    /// Number of samples.
    pub fn n_samples(&self) -> usize {
        self.nats.len()
    }

    /// `w̄ = w/Σ w` of each sample: of sum 1.
    pub fn normalised(&self) -> &[f64] {
        &self.normalised
    }

    /// `w/mean(w)` of each sample: of mean 1, as
    /// [`NegativeLogLikelihood::weighted`](crate::train::NegativeLogLikelihood::weighted) and a
    /// weighted fit take it. A flow that is trained on weighted samples minimises the forward
    /// Kullback-Leibler divergence from the target.
    pub fn relative(&self) -> Vec<f64> {
        let n = self.n_samples() as f64;
        self.normalised.iter().map(|weight| n * weight).collect()
    }

    /// The number of independent samples of the target that would estimate a mean as well, by the
    /// rule of Kish: from 1 to the number of samples.
    pub fn effective_sample_size(&self) -> f64 {
        1.0 / self.normalised.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// [`LogWeights::effective_sample_size`] as a share of the number of samples.
    pub fn effective_share(&self) -> f64 {
        self.effective_sample_size() / self.n_samples() as f64
    }

    /// `ln Z` in nats.
    ///
    /// # Errors
    /// [`ImportanceError::TooFew`] for fewer than 2 samples.
    pub fn log_z(&self) -> Result<Estimate, ImportanceError> {
        ImportanceError::at_least("ln Z", 2, self.n_samples())?;
        let n = self.n_samples() as f64;
        let squares: f64 = self.normalised.iter().map(|weight| (n * weight - 1.0).powi(2)).sum();
        let standard_error = (squares / (n * (n - 1.0))).sqrt();
        Ok(Estimate { value: self.log_mean(), standard_error })
    }

    /// `ln mean w`, for any number of samples.
    pub(crate) fn log_mean(&self) -> f64 {
        self.log_sum - (self.n_samples() as f64).ln()
    }

    /// Mean of a function under the target, from its value at each sample.
    ///
    /// # Errors
    /// [`ImportanceError::ValueCount`]; [`ImportanceError::Value`] for a value that is not finite,
    /// unless its weight is 0; [`ImportanceError::TooFew`] for fewer than 2 samples.
    pub fn mean(&self, values: &[f64]) -> Result<Estimate, ImportanceError> {
        self.check_values(values)?;
        ImportanceError::at_least("a mean", 2, values.len())?;
        let pairs = || self.normalised.iter().zip(values).filter(|(weight, _)| **weight > 0.0);
        let unit = largest_magnitude(pairs().map(|(_, value)| *value));
        let pairs = || pairs().map(|(weight, value)| (weight, value / unit));
        let mean: f64 = pairs().map(|(weight, value)| weight * value).sum();
        let variance: f64 = pairs().map(|(weight, value)| (weight * (value - mean)).powi(2)).sum();
        Ok(Estimate { value: mean, standard_error: variance.sqrt() }.of_unit(unit))
    }

    /// How heavy the tail of the weights is.
    ///
    /// # Errors
    /// [`ImportanceError::TooFew`] for fewer than 25 samples.
    pub fn pareto_k(&self) -> Result<ParetoK, ImportanceError> {
        ImportanceError::at_least("Pareto k", ParetoK::LEAST_SAMPLES, self.n_samples())?;
        Ok(pareto::of_weights(&self.normalised))
    }

    /// The independence Metropolis-Hastings chain whose proposals are the samples, in their order.
    /// The same seed gives the same chain, on every platform.
    pub fn chain(&self, seed: u64) -> IndependenceChain {
        IndependenceChain::run(&self.nats, seed)
    }

    /// Checks that there is a finite value for each weight that is not 0.
    fn check_values(&self, values: &[f64]) -> Result<(), ImportanceError> {
        let (expected, found) = (self.n_samples(), values.len());
        if found != expected {
            return Err(ImportanceError::ValueCount { expected, found });
        }
        let mut pairs = self.normalised.iter().zip(values);
        match pairs.position(|(weight, value)| *weight > 0.0 && !value.is_finite()) {
            None => Ok(()),
            Some(sample) => Err(ImportanceError::Value { sample, found: values[sample] }),
        }
    }
}
