//! Configuration of a [`Trainer`](super::Trainer): rate, clip, optimizer, average and what to do
//! about a NaN.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use super::{EmaDecay, NonFinite, OptimizerConfig, Precision, Schedule};
use crate::bijector::replay::GradientMemory;
use crate::error::ConfigError;

/// Which loss the bound on the gradient's norm speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GradientUnit {
    /// Nats per example.
    Nats,
    /// Bits per dimension.
    BitsPerDim,
}

/// Configuration of a [`Trainer`](super::Trainer).
#[derive(Config, Debug, PartialEq)]
pub struct TrainerConfig {
    /// Numbers per example, which turn nats into bits/dim.
    pub dims: usize,
    /// Seed of the run: all random numbers within a step follow from it and the number of the step.
    /// Numbers drawn before the first step (the model) or between steps (batches that the caller
    /// draws) follow from the device's own stream.
    #[config(default = 0)]
    pub seed: u64,
    /// Learning rate after the warm-up.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// Updates until the learning rate is reached.
    #[config(default = 100)]
    pub warm_up: u64,
    /// Learning rate after that.
    #[config(default = "Schedule::Constant")]
    pub schedule: Schedule,
    /// Bound on the global norm of the gradient, finite: `f64::MAX` clips nothing.
    #[config(default = 1.0)]
    pub max_norm: f64,
    /// Which loss that bound speaks of.
    #[config(default = "GradientUnit::Nats")]
    pub norm_unit: GradientUnit,
    /// Optimizer.
    #[config(default = "OptimizerConfig::Adam")]
    pub optimizer: OptimizerConfig,
    /// Decay of the moving average of the weights.
    #[config(default = "EmaDecay::Warmed(0.999)")]
    pub ema: EmaDecay,
    /// What to do about a loss or gradient that is not finite.
    #[config(default = "NonFinite::Stop")]
    pub non_finite: NonFinite,
    /// The type that networks are trained in.
    #[config(default = "Precision::Full")]
    pub precision: Precision,
    /// What the backward pass keeps of the way there.
    #[config(default = "GradientMemory::Store")]
    pub gradient_memory: GradientMemory,
}

impl TrainerConfig {
    /// Whether the configuration describes a training.
    ///
    /// # Errors
    /// The first rule that is broken: `dims` of at least 1, a positive and finite learning rate,
    /// norm and tolerance, a schedule, decays in [0, 1).
    pub fn validate(&self) -> Result<(), ConfigError> {
        const CONFIG: &str = "TrainerConfig";
        if self.dims == 0 {
            return Err(ConfigError::Zero { config: CONFIG, field: "dims" });
        }
        ConfigError::positive_finite(CONFIG, "learning_rate", self.learning_rate)?;
        // JSON, in which a checkpoint keeps this, has no infinity.
        ConfigError::positive_finite(CONFIG, "max_norm", self.max_norm)?;
        if let GradientMemory::Reversible { tolerance } = self.gradient_memory {
            ConfigError::positive_finite(CONFIG, "gradient_memory.tolerance", tolerance)?;
        }
        self.schedule.validate()?;
        self.optimizer.validate()?;
        self.precision.validate()?;
        self.ema.validate()
    }

    /// Reads what a checkpoint holds. A field that an older version did not write has its default;
    /// one that this version does not know is an error, since the run it describes is another one.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        let object = |value| match value {
            serde_json::Value::Object(fields) => Ok(fields),
            other => Err(format!("is no object but {other}")),
        };
        let reason = |error: serde_json::Error| error.to_string();
        let saved = object(serde_json::from_str(text).map_err(reason)?)?;
        let dims =
            saved.get("dims").and_then(serde_json::Value::as_u64).ok_or("holds no `dims`")?;
        let mut fields = object(serde_json::to_value(Self::new(dims as usize)).map_err(reason)?)?;
        for (name, value) in saved {
            let field = fields.get_mut(&name);
            *field.ok_or_else(|| format!("holds `{name}`, which this version does not know"))? =
                value;
        }
        serde_json::from_value(fields.into()).map_err(reason)
    }
}
