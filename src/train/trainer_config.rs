//! Configuration of a [`Trainer`](super::Trainer): learning rate, clip, optimizer, average and the
//! policy for values that are not finite.

use std::f64::consts::LN_2;

use burn::config::Config;
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

/// Configuration of a [`Trainer`](super::Trainer).
#[derive(Config, Debug, PartialEq)]
pub struct TrainerConfig {
    /// Seed of the run: all random numbers within a step follow from it and the number of the step.
    /// Random numbers sampled before the first step (for the model) or between steps (for batches
    /// of the caller) follow from the device's own stream.
    #[config(default = 0)]
    pub seed: u64,
    /// Learning rate after the warm-up.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// Number of updates until the learning rate is reached.
    #[config(default = 100)]
    pub warm_up: u64,
    /// Schedule of the learning rate after that.
    #[config(default = "Schedule::Constant")]
    pub schedule: Schedule,
    /// Bound on the global norm of the gradient, finite: `f64::MAX` clips nothing.
    #[config(default = 1.0)]
    pub max_norm: f64,
    /// The unit of the loss whose gradient norm is bounded.
    #[config(default = "GradientUnit::Nats")]
    pub norm_unit: GradientUnit,
    /// Optimizer.
    #[config(default = "OptimizerConfig::Adam")]
    pub optimizer: OptimizerConfig,
    /// Decay of the moving average of the weights.
    #[config(default = "EmaDecay::Warmed(0.999)")]
    pub ema: EmaDecay,
    /// Policy for a loss or gradient that is not finite.
    #[config(default = "NonFinite::Stop")]
    pub non_finite: NonFinite,
    /// The type that networks are trained in.
    #[config(default = "Precision::Full")]
    pub precision: Precision,
    /// What is kept in memory for the backward pass.
    #[config(default = "GradientMemory::Store")]
    pub gradient_memory: GradientMemory,
}

impl TrainerConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken: a positive and finite learning rate, norm and tolerance, a
    /// valid schedule, decays in [0, 1).
    pub fn validate(&self) -> Result<(), ConfigError> {
        const CONFIG: &str = "TrainerConfig";
        ConfigError::positive_finite(CONFIG, "learning_rate", self.learning_rate)?;
        // JSON, in which a checkpoint stores this, has no infinity.
        ConfigError::positive_finite(CONFIG, "max_norm", self.max_norm)?;
        if let GradientMemory::Reversible { tolerance } = self.gradient_memory {
            ConfigError::positive_finite(CONFIG, "gradient_memory.tolerance", tolerance)?;
        }
        self.schedule.validate()?;
        self.optimizer.validate()?;
        self.precision.validate()?;
        self.ema.validate()
    }

    /// Reads the configuration of a checkpoint. A field that an older version did not write has its
    /// default. A field that this version does not know is an error, since it describes a different
    /// run.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        let object = |value| match value {
            serde_json::Value::Object(fields) => Ok(fields),
            other => Err(format!("expected an object, found {other}")),
        };
        let reason = |error: serde_json::Error| error.to_string();
        let saved = object(serde_json::from_str(text).map_err(reason)?)?;
        let mut fields = object(serde_json::to_value(Self::new()).map_err(reason)?)?;
        for (name, value) in saved {
            let field = fields.get_mut(&name);
            *field.ok_or_else(|| format!("this version of flowkit has no field `{name}`"))? = value;
        }
        serde_json::from_value(fields.into()).map_err(reason)
    }
}
