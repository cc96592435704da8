//! The optimizer of a trainer.

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use serde::{Deserialize, Serialize};

use super::{Adam, Adamax, adam_together};
use crate::error::ConfigError;

/// The optimizer of a [`Trainer`](super::Trainer).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum OptimizerConfig {
    /// [`Adam`] with β 0.9 and 0.999, ε 1e-8 (Flow++).
    Adam,
    /// [`Adamax`] with β₁ 0.9 (Glow).
    Adamax {
        /// Decay of the largest gradient, in [0, 1). Glow: `1 − 1/n` with `n` updates per epoch.
        beta_2: f64,
    },
}

impl OptimizerConfig {
    /// Checks the decay.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] unless the decay lies in [0, 1).
    pub fn validate(self) -> Result<(), ConfigError> {
        match self {
            Self::Adamax { beta_2 } => {
                ConfigError::below_one("OptimizerConfig::Adamax", "beta_2", beta_2)
            }
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

    /// A step of the optimizer that [`OptimizerConfig::init`] made.
    pub(super) fn step<M: Module>(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: f64,
        model: M,
        gradients: GradientsParams,
    ) -> M {
        match self {
            Self::Adam => adam_together::step(optimizer, rate, model, gradients),
            Self::Adamax { .. } => optimizer.step(rate, model, gradients),
        }
    }
}
