//! One attempt of an update on a batch in parts, and a second one if the inverses may be at fault.
//!
//! Under [`GradientMemory::Reversible`] the drift guard compares the inputs of a few layers. An
//! inverse between two of them may produce values that are not finite, and so a gradient that is
//! not finite, although the model's own gradient is. Such a gradient is therefore computed once
//! more with every rebuilt input compared. Layers whose inverses failed are recomputed from then
//! on, and only a gradient that is still not finite is attributed to the model.

use burn::module::Module;
use burn::tensor::Device;

use super::Trainer;
use crate::bijector::replay::GradientMemory;
use crate::random::Seeded;
use crate::train::batch_gradient::BatchGradient;
use crate::train::{Objective, StepSeed, TrainError, Update};

impl<M: Module> Trainer<M> {
    /// Makes the update, or returns an error, with the index of the part that failed, and changes
    /// nothing.
    pub(super) fn attempt<O: Objective<M>>(
        &mut self,
        device: &Device,
        model: &M,
        parts: &[O],
        nats_per_unit: f64,
        scope: &mut Seeded,
    ) -> Result<Update, (usize, TrainError)> {
        let first = self.try_once(device, model, parts, nats_per_unit, scope, false);
        let rebuilds = matches!(self.config.gradient_memory, GradientMemory::Reversible { .. });
        match first {
            // A loss scale that is too large may be the cause too, and is reduced first.
            Err((_, TrainError::NonFiniteGradient { .. }))
                if rebuilds && self.smaller_scale().is_none() =>
            {
                self.try_once(device, model, parts, nats_per_unit, scope, true)
            }
            first => first,
        }
    }

    fn try_once<O: Objective<M>>(
        &mut self,
        device: &Device,
        model: &M,
        parts: &[O],
        nats_per_unit: f64,
        scope: &mut Seeded,
        in_doubt: bool,
    ) -> Result<Update, (usize, TrainError)> {
        let (seeds, mut guard) = (StepSeed::new(self.config.seed), self.state.guard.clone());
        let found = BatchGradient::of(model, parts, seeds, |seeds, part| {
            if let Some(condition) = part.non_finite_context() {
                return Err(TrainError::NonFiniteContext { step: self.step + 1, condition });
            }
            let mut pass = self.pass(device, seeds, &mut guard);
            pass.in_doubt = in_doubt;
            Ok(self.master(pass.run(model, part)?))
        })?;
        self.apply(found, guard, nats_per_unit, scope).map_err(|error| (0, error))
    }
}
