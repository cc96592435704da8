//! Settings that may change in the middle of a run, and what a saved checkpoint changes.

use burn::module::Module;

use super::Trainer;
use crate::bijector::replay::GradientMemory;
use crate::train::loss_scale::ScaleState;
use crate::train::{NonFinite, Precision, TrainError};

impl<M: Module> Trainer<M> {
    /// Tells the trainer that its present state is in a saved checkpoint: [`NonFinite::Restore`]
    /// returns to it and counts anew. It is not needed after [`Trainer::save`]. Call it when a
    /// [`Trainer::checkpoint`] was saved by other means, such as
    /// [`Checkpoints::save`](crate::train::Checkpoints::save), and not if that failed.
    pub fn mark_saved(&mut self) {
        if let NonFinite::Restore { .. } = self.config.non_finite {
            // Tensors are shared until the next update makes new ones.
            self.good = Some(self.state.clone());
            self.failures = 0;
        }
    }

    /// Continues under another policy, which begins to count here.
    pub fn with_non_finite(mut self, policy: NonFinite) -> Self {
        self.config.non_finite = policy;
        (self.failures, self.good) = (0, None);
        self.mark_saved();
        self
    }

    /// Continues under another policy of the backward pass. The state of the drift guard is
    /// discarded.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn with_gradient_memory(
        mut self,
        gradient_memory: GradientMemory,
    ) -> Result<Self, TrainError> {
        self.config.gradient_memory = gradient_memory;
        self.config.validate()?;
        self.state.guard = None;
        if let Some(good) = &mut self.good {
            good.guard = None;
        }
        Ok(self)
    }

    /// Continues at another learning rate (the peak, which warm-up and schedule scale).
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn with_learning_rate(mut self, learning_rate: f64) -> Result<Self, TrainError> {
        self.config.learning_rate = learning_rate;
        self.config.validate()?;
        Ok(self)
    }

    /// Continues in another precision, with a new loss scale.
    ///
    /// # Errors
    /// Those of [`Precision::validate`] and [`Precision::check`].
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, TrainError> {
        precision.validate()?;
        precision.check(&self.state.model)?;
        self.config.precision = precision;
        self.scale = precision.loss_scale().map(ScaleState::new);
        Ok(self)
    }
}
