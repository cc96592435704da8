//! Applies the gradient of an update, or applies the policy [`NonFinite`] to a failed update.

use burn::module::Module;
use burn::tensor::Device;

use super::Trainer;
use super::state::State;
use crate::bijector::replay::DriftGuard;
use crate::random::Seeded;
use crate::train::batch_gradient::{BatchGradient, Pass};
use crate::train::gradient::clip;
use crate::train::headroom::{Headroom, Overflow};
use crate::train::loss_scale::ScaleState;
use crate::train::{GradientUnit, NonFinite, StepSeed, TrainError, Update, UpdateOutcome, WarmUp};

impl<M: Module> Trainer<M> {
    /// How the next update computes its gradient.
    pub(super) fn pass<'a>(
        &self,
        device: &'a Device,
        seeds: StepSeed,
        guard: &'a mut Option<DriftGuard>,
    ) -> Pass<'a> {
        let (gradient_memory, loss_scale) = (self.config.gradient_memory, self.loss_scale());
        Pass { device, seeds, step: self.step, gradient_memory, loss_scale, guard, in_doubt: false }
    }

    /// The model in the types in which an update computes.
    pub(super) fn working_copy(&self) -> M {
        self.config.precision.working_copy(&self.state.model)
    }

    /// Converts the gradient of a working copy to that of the model.
    pub(super) fn master(&self, found: BatchGradient) -> BatchGradient {
        let (precision, model) = (self.config.precision, &self.state.model);
        let gradients = precision.master_gradients(found.gradients, model, self.loss_scale());
        BatchGradient { gradients, ..found }
    }

    /// The next loss scale, if the present one may be why a gradient is not finite.
    pub(super) fn smaller_scale(&self) -> Option<ScaleState> {
        self.scale?.overflowed(self.config.precision.loss_scale()?)
    }

    /// The factor of the loss.
    pub(super) fn loss_scale(&self) -> f64 {
        self.scale.map_or(1.0, ScaleState::factor)
    }

    /// The learning rate of the next update.
    pub(super) fn learning_rate(&self) -> f64 {
        let step = self.step + 1;
        let warm_up = WarmUp { peak: self.config.learning_rate, steps: self.config.warm_up };
        warm_up.lr(step) * self.config.schedule.factor(step)
    }

    /// Nats per example in one unit of the gradient's norm. `dims` is the number of elements of an
    /// example, which an objective knows and a closure does not.
    pub(super) fn nats_per_unit(&self, dims: Option<usize>) -> Result<f64, TrainError> {
        match (self.config.norm_unit, dims) {
            (unit, Some(dims)) => Ok(unit.in_nats(dims)),
            (GradientUnit::Nats, None) => Ok(1.0),
            (GradientUnit::BitsPerDim, None) => Err(TrainError::UnknownDims),
        }
    }

    /// Makes the update, or returns an error and changes nothing. `scope` is that of the update's
    /// random numbers.
    pub(super) fn apply(
        &mut self,
        found: BatchGradient,
        guard: Option<DriftGuard>,
        nats_per_unit: f64,
        scope: &mut Seeded,
    ) -> Result<Update, TrainError> {
        let step = self.step + 1;
        let BatchGradient { loss: unread, gradients, drift } = found;
        let (learning_rate, precision, loss_scale) =
            (self.learning_rate(), self.config.precision, self.loss_scale());
        let (rule, tied, state) = (self.config.optimizer, self.tied, &mut self.state);
        // A bound near the largest value remains finite.
        let max_norm = (self.config.max_norm * nats_per_unit).min(f64::MAX);
        let mut loss = f64::NAN;
        let read = |norm| {
            let (read_loss, norm) = unread.read_with(norm, scope)?;
            loss = read_loss;
            Ok(norm)
        };
        let (gradients, norm) =
            clip(gradients, &state.model, max_norm, read).map_err(|error| match error {
                TrainError::NonFiniteGradient { parameter, .. } => {
                    TrainError::NonFiniteGradient { step: Some(step), parameter, fault: None }
                }
                other => other,
            })?;
        match state.headroom.after(learning_rate, norm.min(max_norm)) {
            Some(headroom) => {
                state.advance(rule, learning_rate, gradients, tied)?;
                state.headroom = headroom;
            }
            None => {
                let mut attempt = state.clone();
                attempt.advance(rule, learning_rate, gradients, tied)?;
                let State { model, average, optimizer, .. } = &attempt;
                let measured = Headroom::measure(model, average.model(), optimizer)?;
                attempt.headroom = measured.map_err(|Overflow { what, parameter }| {
                    TrainError::NonFiniteUpdate {
                        step: Some(step),
                        what,
                        parameter,
                        learning_rate: Some(learning_rate),
                    }
                })?;
                *state = attempt;
            }
        }
        state.guard = guard;
        self.step = step;
        self.scale = self.scale.zip(precision.loss_scale()).map(|(state, scale)| state.good(scale));
        if !matches!(self.config.non_finite, NonFinite::Restore { .. }) {
            self.failures = 0;
        }
        Ok(Update {
            step,
            loss,
            bits_per_dim: (),
            gradient_norm: norm / nats_per_unit,
            learning_rate,
            loss_scale,
            drift,
            outcome: UpdateOutcome::Done,
        })
    }

    /// Applies the policy to an update that failed.
    pub(super) fn settle(
        &mut self,
        attempt: Result<Update, TrainError>,
    ) -> Result<Update, TrainError> {
        let error = match attempt {
            Err(error) if error.is_non_finite() => error,
            Err(TrainError::Device { reason, .. }) => {
                return Err(TrainError::Device {
                    reason,
                    gradient_memory: Some(self.config.gradient_memory),
                });
            }
            settled => return settled,
        };
        if let (TrainError::NonFiniteGradient { .. }, Some(smaller)) =
            (&error, self.smaller_scale())
        {
            let passed_over = self.passed_over(f64::NAN, UpdateOutcome::Overflowed);
            self.scale = Some(smaller);
            return Ok(passed_over);
        }
        let at_most = match self.config.non_finite {
            NonFinite::Stop => return Err(error),
            NonFinite::Skip { at_most } | NonFinite::Restore { at_most } => at_most,
        };
        if self.failures >= at_most {
            return Err(TrainError::GaveUp { failures: self.failures, last: Box::new(error) });
        }
        let loss =
            if let TrainError::NonFiniteLoss { value, .. } = error { value } else { f64::NAN };
        self.failures += 1;
        let outcome = match &self.good {
            Some(good) => {
                self.state = good.clone();
                UpdateOutcome::Restored(error)
            }
            None => UpdateOutcome::Skipped(error),
        };
        Ok(self.passed_over(loss, outcome))
    }

    /// Counts an update that changed nothing.
    pub(super) fn passed_over(&mut self, loss: f64, outcome: UpdateOutcome) -> Update {
        let (learning_rate, loss_scale) = (self.learning_rate(), self.loss_scale());
        self.step += 1;
        let (step, gradient_norm) = (self.step, f64::NAN);
        Update {
            step,
            loss,
            bits_per_dim: (),
            gradient_norm,
            learning_rate,
            loss_scale,
            drift: None,
            outcome,
        }
    }
}
