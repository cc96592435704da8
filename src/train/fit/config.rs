//! Configuration of a fit.

use super::progress::Progress;
use super::schedule::FitSchedule;
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
        /// The learning rate after the warm-up; a [`Schedule`] becomes one by `into`.
        pub schedule: FitSchedule = FitSchedule::Given(Schedule::Constant),
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
        // The schedule of every number of updates is legal if that of one is.
        self.trainer(1).check(CONFIG)
    }

    /// Number of examples that [`fit`](Self::fit) holds out of so many, at least 2.
    pub(super) fn n_held_out(&self, n_examples: usize) -> usize {
        ((self.held_out * n_examples as f64).round() as usize).clamp(1, n_examples - 1)
    }

    /// The largest number of updates of [`fit`](Self::fit) on so many examples, if none of them has
    /// weight 0: those of all epochs, or the limit of updates.
    ///
    /// ```
    /// use flowkit::train::FitConfig;
    ///
    /// // 100 examples are held out. The others make 3 whole batches of 256 in each epoch.
    /// assert_eq!(FitConfig::new().with_epochs(10).updates(1000), 30);
    /// ```
    pub fn updates(&self, n_examples: usize) -> u64 {
        if n_examples < 2 {
            return 0;
        }
        self.updates_of(n_examples - self.n_held_out(n_examples))
    }

    /// The largest number of updates on so many examples to train on, at least 1.
    pub(super) fn updates_of(&self, n_train: usize) -> u64 {
        let per_epoch = n_train / self.batch_size.clamp(1, n_train);
        let updates = self.epochs.saturating_mul(per_epoch as u64);
        self.steps.map_or(updates, |steps| steps.min(updates))
    }

    /// The configuration of the trainer that a fit of so many updates uses.
    pub(super) fn trainer(&self, updates: u64) -> TrainerConfig {
        TrainerConfig::new()
            .with_seed(self.seed)
            .with_learning_rate(self.learning_rate)
            .with_warm_up(self.warm_up)
            .with_schedule(self.schedule.over(self.warm_up, updates))
            .with_max_norm(self.max_norm)
            .with_optimizer(self.optimizer)
            .with_ema(self.ema)
            .with_precision(self.precision)
            .with_gradient_memory(self.gradient_memory)
    }
}
