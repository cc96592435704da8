//! Mean of log-likelihoods, with its uncertainty and its provenance.
//! ```text
//! mean             m = Σ w_i ln p_i / Σ w_i
//! standard error   √(n/(n − 1) · Σ w_i² (ln p_i − m)²) / Σ w_i        with equal weights s/√n
//! ```

use std::f64::consts::LN_2;
use std::fmt::{Display, Formatter, Result as FmtResult};

use super::likelihood::{BitsPerDim, LogLikelihood, Provenance};

/// Mean of log-likelihoods, with its uncertainty and its provenance.
///
/// There is no public constructor: values come from [`LogLikelihood::mean`], or from the report of
/// a [fit](mod@crate::train::fit).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::{Density, Flow, LogitConfig, StandardNormal};
///
/// let (device, logit) = (Device::flex(), LogitConfig::new().with_margin(0.0));
/// let flow = Flow::build(&logit, StandardNormal::new(), [1, 1], &device)?.without_data();
/// let mean = flow.evaluate(Tensor::from_data([[0.5], [0.5], [0.9]], &device))?.mean();
/// // ln N(0; 0, 1) − ln ¼ twice, and ln N(ln 9; 0, 1) − ln 0.09
/// assert_eq!(mean.to_string(), "0.0033 ± 0.4641 nats per example (exact)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanLikelihood<P> {
    mean: f64,
    standard_error: Option<f64>,
    examples: usize,
    dims: usize,
    provenance: P,
}

impl<P: Provenance> LogLikelihood<P> {
    /// Mean over the examples, with its standard error, in nats per example.
    pub fn mean(&self) -> MeanLikelihood<P> {
        MeanLikelihood::weighted(self, None)
    }

    /// Mean over the examples, in bits/dim.
    pub fn bits_per_dim(&self) -> BitsPerDim<P> {
        self.mean().bits_per_dim()
    }
}

impl<P: Provenance> MeanLikelihood<P> {
    /// The mean of log-likelihoods of which only the mean is known.
    pub(crate) fn of_mean(mean: f64, examples: usize, dims: usize, provenance: P) -> Self {
        Self { mean, standard_error: None, examples, dims, provenance }
    }

    /// The mean of several log-likelihoods, with a weight for each or with equal weights.
    pub(crate) fn weighted(likelihood: &LogLikelihood<P>, weights: Option<&[f64]>) -> Self {
        let nats = likelihood.nats();
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let total: f64 = (0..nats.len()).map(weight).sum();
        let mean =
            nats.iter().enumerate().map(|(row, nats)| weight(row) * nats).sum::<f64>() / total;
        let squares =
            nats.iter().enumerate().map(|(row, nats)| (weight(row) * (nats - mean)).powi(2));
        let (n, squares) = (nats.len() as f64, squares.sum::<f64>());
        let standard_error = (nats.len() > 1).then(|| (n / (n - 1.0) * squares).sqrt() / total);
        let (dims, provenance) = (likelihood.dims(), likelihood.provenance());
        Self { mean, standard_error, examples: nats.len(), dims, provenance }
    }

    /// The mean, in nats per example.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Its standard error, in nats per example; `None` for a single example, or if only the mean
    /// is known.
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_error
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// How the values were found.
    pub fn provenance(&self) -> P {
        self.provenance
    }

    /// The standard error of [`MeanLikelihood::bits_per_dim`]; `None` where
    /// [`MeanLikelihood::standard_error`] is.
    pub fn bits_per_dim_error(&self) -> Option<f64> {
        Some(self.standard_error? / (self.dims as f64 * LN_2))
    }

    /// The mean in bits/dim.
    pub fn bits_per_dim(&self) -> BitsPerDim<P> {
        BitsPerDim::of_loss(-self.mean, self.dims, self.provenance)
    }
}

/// `-1.0123 ± 0.0045 nats per example (exact)`; for discrete data with bits/dim.
impl<P: Provenance> Display for MeanLikelihood<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{:.4}", self.mean)?;
        if let Some(error) = self.standard_error {
            write!(f, " ± {error:.4}")?;
        }
        if P::OF_DENSITY {
            return write!(f, " nats per example ({})", self.provenance);
        }
        write!(f, " nats per example, {:.4}", self.bits_per_dim().value())?;
        if let Some(error) = self.bits_per_dim_error() {
            write!(f, " ± {error:.4}")?;
        }
        write!(f, " bits/dim ({})", self.provenance)
    }
}
