//! Which optimizer a trainer uses.

use burn::optim::ModuleOptimizer;
use serde::{Deserialize, Serialize};

use super::{Adam, Adamax, TrainError};

/// The optimizer of a [`Trainer`](super::Trainer).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum OptimizerConfig {
    /// [`Adam`] with β 0.9 and 0.999, ε 1e-8 (Flow++).
    Adam,
    /// [`Adamax`] with β₁ 0.9 (Glow).
    Adamax {
        /// Decay of the largest gradient, in [0, 1). Glow: `1 − 1/n` with `n` updates an epoch.
        beta_2: f64,
    },
}

impl OptimizerConfig {
    /// # Errors
    /// [`TrainError::InvalidDecay`] unless the decay lies in [0, 1).
    pub fn validate(self) -> Result<(), TrainError> {
        match self {
            Self::Adamax { beta_2 } => check_decay(beta_2),
            Self::Adam => Ok(()),
        }
    }

    /// Prefix of the names of the parts of its state.
    pub(super) fn state_prefix(self) -> &'static str {
        match self {
            Self::Adam => "momentum.",
            Self::Adamax { .. } => "",
        }
    }

    /// The optimizer, without a state.
    pub(super) fn init(self) -> ModuleOptimizer {
        match self {
            Self::Adam => Adam::default().init(),
            Self::Adamax { beta_2 } => Adamax::new(beta_2).init(),
        }
    }
}

/// Checks that a decay of an optimizer lies in [0, 1).
pub(super) fn check_decay(decay: f64) -> Result<(), TrainError> {
    if (0.0..1.0).contains(&decay) { Ok(()) } else { Err(TrainError::InvalidDecay { decay }) }
}
