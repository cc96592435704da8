//! The start of a norm: what gives a channel mean 0 and variance 1, and what becomes of one that is constant.
//!
//! A channel that is constant in the first batch has no scale. The reciprocal of a small floor, which is what released
//! codes take, is taken anew by every norm of a stack: the channel leaves each as 0, and data that differs later is
//! multiplied by all of them. [`ConstantChannel`] says what happens instead.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::moments::Moments;
use crate::start::StartProblem;

/// What a norm starts a channel with that is constant in the first batch: one whose deviation is at most the configured
/// `least_deviation`, or `2^-27` of its largest number (`2^-56` in float64), which is rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConstantChannel {
    /// It is centred, and scaled by `1/max(1, |mean|)`: never enlarged, so that norms in a row multiply nothing, and
    /// data that later differs by as much as the constant itself gives a latent of about 1.
    Bounded,
    /// The start is an error that names the channel.
    Error,
}

/// How a norm starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standardize {
    pub constant: ConstantChannel,
    /// Deviations up to this count as constant.
    pub least_deviation: f64,
    /// What its channels are called.
    pub what: &'static str,
}

/// Numbers that a variance is made of, at least.
const LEAST: usize = 2;

impl Standardize {
    /// Whether a deviation is one up to which channels may count as constant.
    pub fn validate(config: &'static str, least_deviation: f64) -> Result<(), ConfigError> {
        if (0.0..f64::INFINITY).contains(&least_deviation) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange { config, field: "least_deviation", range: "[0, ∞)", found: least_deviation })
    }

    fn is_constant(&self, moments: &Moments, channel: usize) -> bool {
        moments.deviation[channel] <= moments.resolution[channel].max(self.least_deviation)
    }

    /// The log-scale of every channel, `−ln unit(deviation)` where it is not constant; NaN where the start has none to
    /// give.
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

    /// Why there is none to give.
    pub fn problem(&self, moments: &Moments) -> Option<StartProblem> {
        let what = self.what;
        if moments.count < LEAST {
            return Some(StartProblem::TooFew { what, found: moments.count });
        }
        if let Some(index) = moments.deviation.iter().position(|deviation| !deviation.is_finite()) {
            return Some(StartProblem::NoMoments { what, index, mean: moments.mean[index] });
        }
        let constant = |&index: &usize| self.constant == ConstantChannel::Error && self.is_constant(moments, index);
        let index = (0..moments.mean.len()).find(constant)?;
        let (value, deviation) = (moments.mean[index], moments.deviation[index]);
        Some(StartProblem::Constant { what, index, value, deviation })
    }
}
