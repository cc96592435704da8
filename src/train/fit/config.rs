//! Configuration of a fit.

use burn::config::Config;

use super::progress::Progress;
use crate::bijector::replay::GradientMemory;
use crate::error::ConfigError;
use crate::tensor::limit::MOST_SIZE;
use crate::train::{EmaDecay, OptimizerConfig, Precision, Schedule, TrainerConfig};

/// How a flow is fitted to data by [`FitConfig::fit`]. The defaults suit vectors and small images.
#[derive(Config, Debug, PartialEq)]
pub struct FitConfig {
    /// Largest number of epochs.
    #[config(default = 100)]
    pub epochs: u64,
    /// Largest number of updates.
    pub steps: Option<u64>,
    /// Largest time of the fit in seconds, after which it ends when the current update is finished.
    pub seconds: Option<f64>,
    /// Number of examples of an update, or all examples to train on if there are fewer.
    #[config(default = 256)]
    pub batch_size: usize,
    /// Share of the examples that is held out if no held-out data is given, in (0, 1); at least one
    /// example.
    #[config(default = 0.1)]
    pub held_out: f64,
    /// Number of epochs without a rise of the held-out likelihood above its best value after which
    /// the training ends, at least 1.
    #[config(default = 10)]
    pub patience: u64,
    /// Seed that determines which examples are held out, the order of the others and all noise.
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
    /// Bound on the global norm of the gradient of the loss, which is in nats per example. A larger
    /// gradient is scaled to it.
    #[config(default = 1.0)]
    pub max_norm: f64,
    /// Optimizer.
    #[config(default = "OptimizerConfig::Adam")]
    pub optimizer: OptimizerConfig,
    /// Decay of the moving average of the weights, which is evaluated and kept.
    #[config(default = "EmaDecay::Warmed(0.999)")]
    pub ema: EmaDecay,
    /// The type that networks are trained in.
    #[config(default = "Precision::Full")]
    pub precision: Precision,
    /// What is kept in memory for the backward pass.
    #[config(default = "GradientMemory::Store")]
    pub gradient_memory: GradientMemory,
    /// What is shown during training.
    #[config(default = "Progress::Bar")]
    pub progress: Progress,
}

const CONFIG: &str = "FitConfig";

impl FitConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken. At least 1: epochs, steps, batch size and patience. Positive
    /// and finite: seconds. In (0, 1): the share that is held out. Then the rules of
    /// [`TrainerConfig::validate`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("epochs", Some(self.epochs)),
            ("steps", self.steps),
            ("patience", Some(self.patience)),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == Some(0)) {
            return Err(ConfigError::Zero { config: CONFIG, field });
        }
        ConfigError::counted(CONFIG, "batch_size", self.batch_size, MOST_SIZE)?;
        if let Some(seconds) = self.seconds {
            ConfigError::positive_finite(CONFIG, "seconds", seconds)?;
        }
        let share = self.held_out > 0.0 && self.held_out < 1.0;
        ConfigError::within(CONFIG, "held_out", "(0, 1)", self.held_out, share)?;
        self.trainer().validate()
    }

    /// The configuration of the trainer that the fit uses.
    pub(super) fn trainer(&self) -> TrainerConfig {
        TrainerConfig::new()
            .with_seed(self.seed)
            .with_learning_rate(self.learning_rate)
            .with_warm_up(self.warm_up)
            .with_schedule(self.schedule)
            .with_max_norm(self.max_norm)
            .with_optimizer(self.optimizer)
            .with_ema(self.ema)
            .with_precision(self.precision)
            .with_gradient_memory(self.gradient_memory)
    }
}
