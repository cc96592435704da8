//! Configuration of a fit.

use super::progress::Progress;
use crate::bijector::replay::GradientMemory;
use crate::error::ConfigError;
use crate::tensor::limit::MOST_SIZE;
use crate::train::{EmaDecay, OptimizerConfig, Precision, Schedule, TrainerConfig};

config! {
    /// How a flow is fitted to data by [`FitConfig::fit`]. The defaults suit vectors and small
    /// images.
    ///
    /// If no update improves on the initial weights, the fit returns these, and the text of its
    /// report says so: the data may need to be standardised (shifts are trained in its units, so
    /// its spread should be near 1), or the learning rate may not suit it.
    #[derive(Debug, PartialEq)]
    pub struct FitConfig {
        /// Largest number of epochs.
        pub epochs: u64 = 100,
        /// Largest number of updates.
        pub steps: Option<u64> = None,
        /// Largest time of the fit in seconds, after which it ends when the current update is
        /// finished.
        pub seconds: Option<f64> = None,
        /// Number of examples of an update, or all examples to train on if there are fewer.
        pub batch_size: usize = 256,
        /// Share of the examples that is held out if no held-out data is given, in (0, 1); at least
        /// one example.
        pub held_out: f64 = 0.1,
        /// Number of epochs without a rise of the held-out likelihood above its best value after
        /// which the training ends, at least 1.
        pub patience: u64 = 10,
        /// Seed that determines which examples are held out, the order of the others and all noise.
        pub seed: u64 = 0,
        /// Learning rate after the warm-up.
        pub learning_rate: f64 = 1e-3,
        /// Number of updates until the learning rate is reached.
        pub warm_up: u64 = 100,
        /// Schedule of the learning rate after that.
        pub schedule: Schedule = Schedule::Constant,
        /// Bound on the global norm of the gradient of the loss, which is in nats per example. A
        /// larger gradient is scaled to it.
        pub max_norm: f64 = 1.0,
        /// Optimizer.
        pub optimizer: OptimizerConfig = OptimizerConfig::Adam,
        /// Decay of the moving average of the weights, which is evaluated and kept.
        pub ema: EmaDecay = EmaDecay::Warmed(0.999),
        /// The type that networks are trained in.
        pub precision: Precision = Precision::Full,
        /// What is kept in memory for the backward pass.
        pub gradient_memory: GradientMemory = GradientMemory::Store,
        /// What is shown during training.
        pub progress: Progress = Progress::Bar,
    }
}

const CONFIG: &str = "FitConfig";

impl FitConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken. At least 1: epochs, steps, batch size and patience. Positive
    /// and finite: seconds. In (0, 1): the share that is held out. Then the rules of
    /// [`TrainerConfig::validate`], under the name of this configuration.
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
        self.trainer().check(CONFIG)
    }

    /// Number of examples that [`fit`](Self::fit) holds out of so many, at least 2.
    pub(super) fn n_held_out(&self, n_examples: usize) -> usize {
        ((self.held_out * n_examples as f64).round() as usize).clamp(1, n_examples - 1)
    }

    /// The largest number of updates of [`fit`](Self::fit) on so many examples, if none of them has
    /// weight 0: those of all epochs, or the limit of updates.
    pub fn updates(&self, n_examples: usize) -> u64 {
        if n_examples < 2 {
            return 0;
        }
        let n = n_examples - self.n_held_out(n_examples);
        let per_epoch = n / self.batch_size.clamp(1, n);
        let updates = self.epochs.saturating_mul(per_epoch as u64);
        self.steps.map_or(updates, |steps| steps.min(updates))
    }

    /// The same, with a learning rate that falls to 0 at the last update of [`fit`](Self::fit) on
    /// so many examples, by half a cosine after the warm-up. Set the other fields before.
    ///
    /// ```
    /// use flowkit::train::{FitConfig, Schedule};
    ///
    /// let config = FitConfig::new().with_epochs(10).with_rate_to_zero(1000);
    /// assert_eq!(config.updates(1000), 30);
    /// let config = FitConfig::new().with_batch_size(100).with_rate_to_zero(1000);
    /// assert_eq!(config.schedule, Schedule::Cosine { start: 100, end: 900, floor: 0.0 });
    /// ```
    #[must_use]
    pub fn with_rate_to_zero(self, n_examples: usize) -> Self {
        let start = self.warm_up;
        let end = self.updates(n_examples).max(start.saturating_add(1));
        self.with_schedule(Schedule::Cosine { start, end, floor: 0.0 })
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
