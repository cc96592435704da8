//! Configuration of a [`Trainer`](super::Trainer): learning rate, clip, optimizer, average and the
//! policy for values that are not finite.

use std::f64::consts::LN_2;

use serde::{Deserialize, Serialize};

use super::{EmaDecay, NonFinite, OptimizerConfig, Precision, Schedule};
use crate::bijector::replay::GradientMemory;
use crate::error::ConfigError;

/// The unit of the loss whose gradient norm is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GradientUnit {
    /// Nats per example.
    Nats,
    /// Bits per dimension. Only an [`Objective`](super::Objective) has them: a closure does not
    /// know the number of elements of an example.
    BitsPerDim,
}

impl GradientUnit {
    /// Nats per example in one of this unit, for examples of `dims` elements.
    pub(super) fn in_nats(self, dims: usize) -> f64 {
        match self {
            Self::Nats => 1.0,
            Self::BitsPerDim => dims as f64 * LN_2,
        }
    }
}

config! {
    /// Configuration of a [`Trainer`](super::Trainer).
    #[derive(Debug, PartialEq)]
    pub struct TrainerConfig {
        /// Seed of the run: all random numbers within a step follow from it and the number of the
        /// step. Random numbers sampled before the first step (for the model) or between steps (for
        /// batches of the caller) follow from the device's own stream.
        pub seed: u64 = 0,
        /// Learning rate after the warm-up.
        pub learning_rate: f64 = 1e-3,
        /// Number of updates until the learning rate is reached.
        pub warm_up: u64 = 100,
        /// Schedule of the learning rate after that.
        pub schedule: Schedule = Schedule::Constant,
        /// Bound on the global norm of the gradient, finite: `f64::MAX` clips nothing.
        pub max_norm: f64 = 1.0,
        /// The unit of the loss whose gradient norm is bounded.
        pub norm_unit: GradientUnit = GradientUnit::Nats,
        /// Optimizer.
        pub optimizer: OptimizerConfig = OptimizerConfig::Adam,
        /// Decay of the moving average of the weights.
        pub ema: EmaDecay = EmaDecay::Warmed(0.999),
        /// Policy for a loss or gradient that is not finite.
        pub non_finite: NonFinite = NonFinite::Stop,
        /// The type that networks are trained in.
        pub precision: Precision = Precision::Full,
        /// What is kept in memory for the backward pass.
        pub gradient_memory: GradientMemory = GradientMemory::Store,
    }
}

impl TrainerConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken: a positive and finite learning rate, norm and tolerance, a
    /// valid schedule, decays in [0, 1).
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check("TrainerConfig")
    }

    /// [`TrainerConfig::validate`]; an error names `config`, the configuration that the user made.
    pub(super) fn check(&self, config: &'static str) -> Result<(), ConfigError> {
        ConfigError::positive_finite(config, "learning_rate", self.learning_rate)?;
        // JSON, in which a checkpoint stores this, has no infinity.
        ConfigError::positive_finite(config, "max_norm", self.max_norm)?;
        if let GradientMemory::Reversible { tolerance } = self.gradient_memory {
            ConfigError::positive_finite(config, "gradient_memory.tolerance", tolerance)?;
        }
        self.schedule.validate()?;
        self.optimizer.validate()?;
        self.precision.validate()?;
        self.ema.validate()
    }
}
