//! Decay of the learning rate after its warm-up, computed from the step alone.
//! ```text
//! rate(step) = warm_up(step)·factor(step)
//! factor = 1                                                     constant
//! factor = γ^min(max(step − after, 0), n)                        exponential, n the fewest steps with γ^n < floor
//! ```
//! # Reference
//! The schedule of Flow++'s ImageNet 32x32 code: 1e-3 until update 50,000, then 0.99995 a step until it is below 3e-4, then constant.

use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// What becomes of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum RateDecay {
    /// It stays.
    Constant,
    /// It is multiplied at each step, until it is below a share of its peak.
    Exponential {
        /// Updates before the first decay.
        after: u64,
        /// Factor `γ` of a step, in (0, 1).
        factor: f64,
        /// Share of the peak below which it stays, in (0, 1).
        floor: f64,
    },
}

impl RateDecay {
    /// What the learning rate of update `step` is multiplied by.
    ///
    /// ```
    /// use flowkit::train::RateDecay;
    ///
    /// let halve = RateDecay::Exponential { after: 10, factor: 0.5, floor: 0.2 };
    /// assert_eq!([9, 10, 11, 12, 13, 14].map(|step| halve.at(step)), [1.0, 1.0, 0.5, 0.25, 0.125, 0.125]);
    /// ```
    pub fn at(self, step: u64) -> f64 {
        let Self::Exponential { after, factor, .. } = self else { return 1.0 };
        let steps = step.saturating_sub(after).min(self.n_steps());
        factor.powf(steps as f64)
    }

    /// Steps of decay: the fewest after which the factor is below the floor; 0 of a constant rate.
    pub fn n_steps(self) -> u64 {
        let Self::Exponential { factor, floor, .. } = self else { return 0 };
        // γ^n < floor  ⇔  n > ln floor / ln γ
        (floor.ln() / factor.ln()).floor() as u64 + 1
    }

    /// # Errors
    /// [`TrainError::InvalidRateDecay`] unless factor and floor lie in (0, 1).
    pub fn validate(self) -> Result<(), TrainError> {
        let Self::Exponential { factor, floor, .. } = self else { return Ok(()) };
        for (field, found) in [("factor", factor), ("floor", floor)] {
            if !(found > 0.0 && found < 1.0) {
                return Err(TrainError::InvalidRateDecay { field, found });
            }
        }
        Ok(())
    }
}
