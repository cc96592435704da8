//! Schedule: how the learning rate falls after the warm-up, computed from the number of the update
//! alone.
//! ```text
//! Constant      factor = 1
//! Cosine        factor = floor + (1 − floor)·(1 + cos πt)/2
//!               t = (step − start)/(end − start) in [0, 1]
//! Exponential   factor = max(floor, decay^(step − start))          1 until `start`
//! rate = learning_rate · warm_up · factor
//! ```
//! # Reference
//! Cosine: Loshchilov & Hutter 2017, without restarts. Exponential: Flow++'s code for 32x32
//! ImageNet holds 1e-3 for 50,000 updates and then multiplies by 0.99995 an update until 3e-4
//! (`start` 50,000, `decay` 0.99995, `floor` 0.3). Flow++ on CIFAR-10 and Glow are constant after
//! their warm-up.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// The learning rate after the warm-up, as a factor of its peak.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Half a cosine from the peak down to `floor` times the peak.
    Cosine {
        /// Update at which it begins to fall.
        start: u64,
        /// Update at which it reaches `floor`.
        end: u64,
        /// Factor from then on, in [0, 1].
        floor: f64,
    },
    /// Falls by the same factor with every update.
    Exponential {
        /// Update at which it begins to fall.
        start: u64,
        /// Factor of one update, in (0, 1].
        decay: f64,
        /// Smallest factor, in [0, 1].
        floor: f64,
    },
}

impl Schedule {
    /// Checks the factors and the updates.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a factor outside its range; [`ConfigError::NotBelow`] for a
    /// cosine that does not end after it starts.
    pub fn validate(self) -> Result<(), ConfigError> {
        const CONFIG: &str = "Schedule";
        let factor = |field, range, found: f64, legal| {
            ConfigError::within(CONFIG, field, range, found, legal && found <= 1.0)
        };
        match self {
            Self::Constant => Ok(()),
            Self::Cosine { start, end, .. } if start >= end => Err(ConfigError::NotBelow {
                config: CONFIG,
                field: "start",
                found: start,
                of: "end",
                limit: end,
            }),
            Self::Cosine { floor, .. } => factor("floor", "[0, 1]", floor, floor >= 0.0),
            Self::Exponential { decay, floor, .. } => {
                factor("decay", "(0, 1]", decay, decay > 0.0)?;
                factor("floor", "[0, 1]", floor, floor >= 0.0)
            }
        }
    }

    /// Factor of the learning rate of update `step`, from 1.
    ///
    /// ```
    /// use flowkit::train::Schedule;
    ///
    /// let cosine = Schedule::Cosine { start: 100, end: 300, floor: 0.1 };
    /// assert_eq!([100, 300, 9999].map(|step| cosine.factor(step)), [1.0, 0.1, 0.1]);
    /// assert!((cosine.factor(200) - 0.55).abs() < 1e-15);
    /// // Flow++ on 32x32 ImageNet: from 1e-3 to 3e-4 within 24,079 updates.
    /// let decay = Schedule::Exponential { start: 50_000, decay: 0.99995, floor: 0.3 };
    /// assert_eq!(decay.factor(50_000), 1.0);
    /// assert!(decay.factor(74_078) > 0.3 && decay.factor(74_079) == 0.3);
    /// ```
    pub fn factor(self, step: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine { start, end, floor } => {
                let t =
                    step.saturating_sub(start) as f64 / (end.saturating_sub(start)).max(1) as f64;
                if t >= 1.0 {
                    return floor;
                }
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
            }
            Self::Exponential { start, decay, floor } => {
                decay.powf(step.saturating_sub(start) as f64).max(floor)
            }
        }
    }
}
