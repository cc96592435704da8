//! Annealing: the temperature of a target, computed from the number of the update alone.
//! ```text
//! ln p̃(x)/T                      T = 1: the target itself;  T > 1: a flatter density
//! Constant     T = 1
//! Geometric    T = from^(1 − t)                       t = min(step/until, 1)
//! Harmonic     1/T = 1/from + (1 − 1/from)·t
//! ```
//! At a high temperature the modes of a target are shallow and overlap, and a flow that has covered
//! them keeps them while the temperature falls. `Geometric` spends the same number of updates on
//! each factor of the temperature, `Harmonic` on each part of the inverse temperature.
//!
//! # Reference
//! Kirkpatrick, Gelatt & Vecchi 1983 (geometric cooling); Neal 2001 (a path of inverse
//! temperatures).

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// The temperature of a target during a training. The formulas head this module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Annealing {
    /// The target itself.
    Constant,
    /// Falls by the same factor with every update.
    Geometric {
        /// Temperature before the first update, at least 1.
        from: f64,
        /// Update from which the temperature is 1.
        until: u64,
    },
    /// Its inverse rises by the same difference with every update.
    Harmonic {
        /// Temperature before the first update, at least 1.
        from: f64,
        /// Update from which the temperature is 1.
        until: u64,
    },
}

impl Annealing {
    /// Checks the temperature and the number of updates.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for a temperature outside [1, 1e6]; [`ConfigError::Zero`] for
    /// `until`.
    pub fn validate(self) -> Result<(), ConfigError> {
        const CONFIG: &str = "Annealing";
        let (Self::Geometric { from, until } | Self::Harmonic { from, until }) = self else {
            return Ok(());
        };
        ConfigError::within(CONFIG, "from", "[1, 1e6]", from, (1.0..=1e6).contains(&from))?;
        if until == 0 {
            return Err(ConfigError::Zero { config: CONFIG, field: "until" });
        }
        Ok(())
    }

    /// The temperature after `step` updates.
    ///
    /// ```
    /// use flowkit::train::Annealing;
    ///
    /// let cooling = Annealing::Geometric { from: 16.0, until: 100 };
    /// assert_eq!([0, 50, 100, 9999].map(|step| cooling.temperature(step)), [16.0, 4.0, 1.0, 1.0]);
    /// let path = Annealing::Harmonic { from: 4.0, until: 3 };
    /// assert_eq!([0, 1, 2, 3].map(|step| path.temperature(step)), [4.0, 2.0, 4.0 / 3.0, 1.0]);
    /// ```
    pub fn temperature(self, step: u64) -> f64 {
        let share = |until: u64| step as f64 / until.max(1) as f64;
        match self {
            Self::Geometric { from, until } if step < until => from.powf(1.0 - share(until)),
            Self::Harmonic { from, until } if step < until => {
                1.0 / (1.0 / from + (1.0 - 1.0 / from) * share(until))
            }
            _ => 1.0,
        }
    }
}
