//! Configuration of a classifier two-sample test.

use crate::error::ConfigError;
use crate::tensor::limit::{MOST_REPEATS, MOST_SIZE, product, sum};

const NAME: &str = "ClassifierTestConfig";

config! {
    /// A classifier two-sample test.
    #[derive(Debug, PartialEq)]
    pub struct ClassifierTestConfig {
        /// Number of parts, at least 2.
        pub folds: usize = 5,
        /// Width of both hidden layers; ten for each column if there is none.
        pub width: Option<usize> = None,
        /// Largest number of epochs of a classifier.
        pub epochs: usize = 1000,
        /// Number of epochs without progress after which a training ends.
        pub patience: usize = 10,
        /// Fall of the mean loss, in nats, that counts as progress.
        pub tolerance: f64 = 1e-4,
        /// Number of rows of an update.
        pub batch_size: usize = 200,
        /// Learning rate of Adam.
        pub learning_rate: f64 = 1e-3,
        /// Seed of initial weights, parts and batches. One seed gives one result.
        pub seed: u64 = 0,
    }
}

impl ClassifierTestConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::repeated(NAME, "folds", self.folds)?;
        if self.folds == 1 {
            let needs = "a second part, on which the classifier is trained";
            return Err(ConfigError::Choice { config: NAME, field: "folds", found: "1", needs });
        }
        ConfigError::counted(NAME, "width", self.width.unwrap_or(1), MOST_SIZE)?;
        ConfigError::counted(NAME, "epochs", self.epochs, MOST_REPEATS)?;
        ConfigError::counted(NAME, "patience", self.patience, MOST_REPEATS)?;
        ConfigError::counted(NAME, "batch_size", self.batch_size, MOST_SIZE)?;
        let legal = (0.0..f64::INFINITY).contains(&self.tolerance);
        ConfigError::within(NAME, "tolerance", "[0, ∞)", self.tolerance, legal)?;
        ConfigError::positive_finite(NAME, "learning_rate", self.learning_rate)
    }

    /// Width of the hidden layers for rows of `columns`, if the classifier is not too large.
    ///
    /// # Errors
    /// [`ConfigError::TooManyParameters`].
    pub(super) fn width_for(&self, columns: usize) -> Result<usize, ConfigError> {
        let width = self.width.unwrap_or_else(|| product([10, columns]));
        let dense = |inputs: usize, outputs: usize| sum([product([inputs, outputs]), outputs]);
        let total = sum([dense(columns, width), dense(width, width), dense(width, 1)]);
        ConfigError::parameters(NAME, total, [("columns", columns), ("width", width)])?;
        Ok(width)
    }
}
