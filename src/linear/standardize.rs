//! Initialisation of a norm: a scale that gives a channel variance 1, and a rule for channels that
//! are constant.
//!
//! A channel that is constant in the first batch has no scale. Released codes use the reciprocal of
//! a small floor. Every norm of a stack repeats this, because the channel leaves each norm as 0,
//! and data that differs later is multiplied by all of these factors. [`ConstantChannel`] defines
//! what happens here instead.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, InitProblem};
use crate::tensor::graph;
use crate::tensor::moments::{Moments, on_device};

/// How a norm initialises a channel that is constant in the first batch. A channel counts as
/// constant if its deviation is at most the configured `least_deviation`, or at most `2^-24` of its
/// largest magnitude (`2^-53` in float64). That lies between half the spacing of floating-point
/// values and the whole spacing, which is rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConstantChannel {
    /// The channel is centred and scaled by `1/max(1, |mean|)`. It is never enlarged, so a stack of
    /// norms amplifies nothing. Data that later differs by as much as the constant itself gives a
    /// latent of about 1. During initialisation the channel is passed on as 0: otherwise a later
    /// norm would take the rounding errors of the constant for data of a small scale.
    Bounded,
    /// Initialisation returns an error that names the channel ([`InitProblem::Constant`]).
    Error,
}

/// How a norm is initialised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standardize {
    pub constant: ConstantChannel,
    /// Deviations up to this count as constant.
    pub least_deviation: f64,
}

/// Least number of elements that have a variance.
const LEAST: usize = 2;

impl Standardize {
    /// Checks that `least_deviation` is finite and not negative.
    pub fn validate(config: &'static str, least_deviation: f64) -> Result<(), ConfigError> {
        if (0.0..f64::INFINITY).contains(&least_deviation) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            config,
            field: "least_deviation",
            range: "[0, ∞)",
            found: least_deviation,
        })
    }

    fn is_constant(&self, moments: &Moments, channel: usize) -> bool {
        moments.deviation[channel] <= moments.resolution[channel].max(self.least_deviation)
    }

    /// The log-scale of each channel: `−ln unit(deviation)` where it is not constant, NaN where the
    /// batch does not determine it.
    pub fn log_scales(&self, moments: &Moments, unit: impl Fn(f64) -> f64) -> Vec<f64> {
        let log_scale = |channel: usize| match self.constant {
            _ if moments.count < LEAST => f64::NAN,
            ConstantChannel::Bounded if self.is_constant(moments, channel) => {
                -moments.mean[channel].abs().max(1.0).ln()
            }
            ConstantChannel::Error if self.is_constant(moments, channel) => f64::NAN,
            _ => -unit(moments.deviation[channel]).ln(),
        };
        (0..moments.mean.len()).map(log_scale).collect()
    }

    /// What an initialised norm passes on to the next layer: its output `z`, with 0 in each
    /// constant channel. `shape` is that of the norm's parameters.
    pub fn passed_on<const D: usize>(
        &self,
        moments: &Moments,
        shape: [usize; D],
        z: Tensor<D>,
    ) -> Tensor<D> {
        let constant: Vec<bool> =
            (0..moments.mean.len()).map(|channel| self.is_constant(moments, channel)).collect();
        if moments.count < LEAST || !constant.contains(&true) {
            return z;
        }
        let kept = constant.into_iter().map(|constant| if constant { 0.0 } else { 1.0 }).collect();
        let kept = on_device(kept, shape, &z.device(), z.dtype());
        z.clone() * if z.device().is_autodiff() { graph::constant(kept, &z.device()) } else { kept }
    }

    /// Why a log-scale is NaN, or `None` if none is. An error calls one of the channels `what`.
    pub fn problem(&self, moments: &Moments, what: &'static str) -> Option<InitProblem> {
        if moments.count < LEAST {
            return Some(InitProblem::TooFew { what, found: moments.count });
        }
        if let Some(index) = moments.deviation.iter().position(|deviation| !deviation.is_finite()) {
            return Some(InitProblem::NoMoments { what, index, mean: moments.mean[index] });
        }
        let constant = |&index: &usize| {
            self.constant == ConstantChannel::Error && self.is_constant(moments, index)
        };
        let index = (0..moments.mean.len()).find(constant)?;
        let (value, deviation) = (moments.mean[index], moments.deviation[index]);
        Some(InitProblem::Constant { what, index, value, deviation })
    }
}
