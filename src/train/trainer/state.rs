//! The state that an update changes, as one value, so that a failed update leaves the old one.

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};

use crate::bijector::replay::DriftGuard;
use crate::train::headroom::Headroom;
use crate::train::tied::tie;
use crate::train::{Ema, OptimizerConfig, TrainError};

/// The state that an update changes.
#[derive(Clone)]
pub(super) struct State<M: Module> {
    pub(super) model: M,
    pub(super) average: Ema<M>,
    pub(super) optimizer: ModuleOptimizer,
    pub(super) guard: Option<DriftGuard>,
    pub(super) headroom: Headroom,
}

impl<M: Module> State<M> {
    /// Updates weights and average.
    pub(super) fn advance(
        &mut self,
        optimizer: OptimizerConfig,
        rate: f64,
        gradients: GradientsParams,
        tied: bool,
    ) -> Result<(), TrainError> {
        let model = optimizer.step(&mut self.optimizer, rate, self.model.clone(), gradients);
        // An optimizer updates a parameter only at its first place.
        self.model = if tied { tie(model) } else { model };
        self.average = self.average.clone().update(&self.model)?;
        Ok(())
    }
}
