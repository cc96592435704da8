//! Trainer: makes one update after another, each completely or not at all.
//! ```text
//! loss       nats per example, mean over the batch
//! gradient   clipped to a global norm, of the loss in nats or in bits/dim
//! update     Adam or Adamax, rate warmed up linearly, then by a schedule
//! average    exponential moving average of the weights, for evaluation and sampling
//! ```
//! A loss or gradient that is not finite never reaches the weights, and an update that would make
//! weights, average or moments not finite is not applied. [`NonFinite`] determines what happens
//! instead.
//!
//! # Resuming
//! Besides its batch, an update depends only on weights, average, moments and the number of the
//! update, and, where they are used, on the drift guard and the loss scale. Its noise, its rate and
//! (with [`Batches`](crate::data::Batches)) its batch follow from the number. All of these are in a
//! checkpoint. A run that is killed and resumed from a checkpoint is therefore equal to an
//! uninterrupted run, bit for bit on a CPU.
//!
//! # Reference
//! The code of Ho et al. 2019 clips the gradient of the loss in nats, which is `D ln 2` times that
//! in bits/dim, so the clip is active at nearly every step.

mod attempt;
mod saved;

use std::f64::consts::LN_2;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use super::batch_gradient::{BatchGradient, Pass};
use super::headroom::{Headroom, Overflow};
use super::loss_scale::ScaleState;
use super::tied::{self, tie};
use super::{
    Ema, GradientUnit, NonFinite, Objective, Precision, StepSeed, TrainError, TrainerConfig,
    Update, UpdateOutcome, WarmUp, clip_global_norm, trained,
};
use crate::bijector::replay::{DriftGuard, GradientMemory};
use crate::random::Seeded;

/// The state that an update changes.
#[derive(Clone)]
struct State<M: Module> {
    model: M,
    average: Ema<M>,
    optimizer: ModuleOptimizer,
    guard: Option<DriftGuard>,
    headroom: Headroom,
}

impl<M: Module> State<M> {
    /// Updates weights and average.
    fn advance(
        &mut self,
        rate: f64,
        gradients: GradientsParams,
        tied: bool,
    ) -> Result<(), TrainError> {
        let model = self.optimizer.step(rate, self.model.clone(), gradients);
        // An optimizer updates a parameter only at its first place.
        self.model = if tied { tie(model) } else { model };
        self.average = self.average.clone().update(&self.model)?;
        Ok(())
    }
}

/// A model in training with its optimizer and its moving average.
#[derive(Clone)]
pub struct Trainer<M: Module> {
    state: State<M>,
    /// The state that [`NonFinite::Restore`] restores.
    good: Option<State<M>>,
    config: TrainerConfig,
    /// Whether a parameter occurs at several places.
    tied: bool,
    step: u64,
    failures: u64,
    scale: Option<ScaleState>,
}

impl<M: Module> Trainer<M> {
    /// Begins the training of an initialised model. A parameter that occurs at several places, such
    /// as that of a cloned layer, is trained as one.
    ///
    /// # Errors
    /// Those of [`TrainerConfig::validate`]; [`TrainError::UnsupportedPrecision`];
    /// [`TrainError::NothingTrained`] if all parameters are frozen; [`TrainError::Clones`] for
    /// clones of a layer that differ; [`TrainError::Device`].
    pub fn new(model: M, config: TrainerConfig) -> Result<Self, TrainError> {
        config.validate()?;
        config.precision.check(&model)?;
        trained::check(&model)?;
        let tied = tied::check(&model)?;
        let average = Ema::new(&model, config.ema)?;
        let optimizer = config.optimizer.init();
        let scale = config.precision.loss_scale().map(ScaleState::new);
        let headroom = Headroom::new(&model, average.model(), &optimizer)?;
        let state = State { model, average, optimizer, guard: None, headroom };
        let mut trainer = Self { state, good: None, config, tied, step: 0, failures: 0, scale };
        trainer.mark_saved();
        Ok(trainer)
    }

    /// The model as trained so far.
    pub fn model(&self) -> &M {
        &self.state.model
    }

    /// The model with averaged weights, for evaluation and sampling.
    pub fn average(&self) -> &M {
        self.state.average.model()
    }

    /// Number of updates so far, including skipped ones.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The configuration.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// The state of the drift guard, under [`GradientMemory::Reversible`] and after the first
    /// update: which layers are recomputed.
    pub fn guard(&self) -> Option<&DriftGuard> {
        self.state.guard.as_ref()
    }

    /// One update: the clipped gradient of `loss` updates the weights, and the average follows
    /// them.
    ///
    /// `loss` computes the mean loss of a batch in nats per example, `[1]`. `device`, the device of
    /// its tensors, is seeded for this update first, so the noise of `loss` depends on
    /// [`TrainerConfig::seed`] and [`Trainer::step_count`] and not on what ran before. For the same
    /// reason choose the batch by the step count: a resumed run then uses the same batches as an
    /// uninterrupted one.
    ///
    /// After the update, successful or not, the device's stream continues in a way that depends
    /// only on its state before the update, as after a [`Seeded`] scope.
    ///
    /// [`Trainer::update_on`] names the layer at which a loss failed, which is not possible for a
    /// closure, and supports policies other than [`GradientMemory::Store`].
    ///
    /// # Errors
    /// [`TrainError::LossShape`] unless the loss is a single value; [`TrainError::NoGraph`];
    /// [`TrainError::NothingTrained`]; [`TrainError::Device`]; [`TrainError::NotWalkable`] under
    /// other policies than [`GradientMemory::Store`]. Under [`NonFinite::Stop`] also
    /// [`TrainError::NonFiniteLoss`], [`TrainError::NonFiniteGradient`] and
    /// [`TrainError::NonFiniteUpdate`]; under the other policies [`TrainError::GaveUp`]. The
    /// trainer is then as it was before.
    pub fn update(
        &mut self,
        device: &Device,
        loss: impl FnOnce(&M) -> Tensor<1>,
    ) -> Result<Update, TrainError> {
        let _scope = Seeded::hold(device);
        let (seeds, mut guard) = (StepSeed::new(self.config.seed), None);
        let pass = self.pass(device, seeds, &mut guard);
        let found = match pass.gradient_memory {
            GradientMemory::Store => {
                pass.seed();
                let model = self.working_copy();
                pass.store(&model, loss(&model)).map(|found| self.master(found))
            }
            gradient_memory => Err(TrainError::NotWalkable { gradient_memory }),
        };
        let attempt = found.and_then(|found| self.apply(found, guard));
        self.settle(attempt)
    }

    /// [`Trainer::update`] with a loss that can be searched. The error of a loss that is not finite
    /// names the first layer, in the order of `forward`, whose output is not finite. The error of
    /// such a gradient names the first layer in the backward pass at which it is not finite.
    ///
    /// Under a policy other than [`GradientMemory::Store`] the loss is computed by a walk, and the
    /// search uses the same noise but other dropout masks.
    ///
    /// # Errors
    /// As [`Trainer::update`]; [`TrainError::Batch`] if the batch does not fit the model;
    /// [`TrainError::NonFiniteCondition`], which the policy [`NonFinite`] treats like a loss that
    /// is not finite.
    pub fn update_on(
        &mut self,
        device: &Device,
        objective: &impl Objective<M>,
    ) -> Result<Update, TrainError> {
        self.update_on_parts(device, std::slice::from_ref(objective))
    }

    /// [`Trainer::update_on`] on a batch in parts, of which only one is processed at a time. Loss
    /// and gradient are those of the whole batch, the mean over all examples. Each part samples its
    /// own noise, the first part that of a whole batch.
    ///
    /// # Errors
    /// As [`Trainer::update_on`], [`TrainError::NoBatch`], and [`TrainError::NoExamples`] for a
    /// part without examples.
    pub fn update_on_parts<O: Objective<M>>(
        &mut self,
        device: &Device,
        parts: &[O],
    ) -> Result<Update, TrainError> {
        let _scope = Seeded::hold(device);
        let seeds = StepSeed::new(self.config.seed);
        let model = &self.working_copy();
        parts.iter().try_for_each(|part| part.check(model))?;
        let mut attempt = self.attempt(device, model, parts);
        if let Err((index, error)) = &mut attempt {
            match error {
                TrainError::NonFiniteLoss { fault, .. } => {
                    self.pass(device, seeds.part(*index as u64), &mut None).seed();
                    *fault = parts[*index].fault(model);
                }
                // The gradient is the sum over all parts.
                TrainError::NonFiniteGradient { fault, .. } if self.smaller_scale().is_none() => {
                    *fault = parts.iter().enumerate().find_map(|(index, part)| {
                        self.pass(device, seeds.part(index as u64), &mut None).seed();
                        part.gradient_fault(model)
                    });
                }
                _ => {}
            }
        }
        self.settle(attempt.map_err(|(_, error)| error))
    }

    /// How the next update computes its gradient.
    fn pass<'a>(
        &self,
        device: &'a Device,
        seeds: StepSeed,
        guard: &'a mut Option<DriftGuard>,
    ) -> Pass<'a> {
        let (gradient_memory, loss_scale) = (self.config.gradient_memory, self.loss_scale());
        Pass { device, seeds, step: self.step, gradient_memory, loss_scale, guard, in_doubt: false }
    }

    /// The model in the types in which an update computes.
    fn working_copy(&self) -> M {
        self.config.precision.working_copy(&self.state.model)
    }

    /// Converts the gradient of a working copy to that of the model.
    fn master(&self, found: BatchGradient) -> BatchGradient {
        let (precision, model) = (self.config.precision, &self.state.model);
        let gradients = precision.master_gradients(found.gradients, model, self.loss_scale());
        BatchGradient { gradients, ..found }
    }

    /// The next loss scale, if the present one may be why a gradient is not finite.
    fn smaller_scale(&self) -> Option<ScaleState> {
        self.scale?.overflowed(self.config.precision.loss_scale()?)
    }

    /// The factor of the loss.
    fn loss_scale(&self) -> f64 {
        self.scale.map_or(1.0, ScaleState::factor)
    }

    /// The learning rate of the next update.
    fn learning_rate(&self) -> f64 {
        let step = self.step + 1;
        let warm_up = WarmUp { peak: self.config.learning_rate, steps: self.config.warm_up };
        warm_up.lr(step) * self.config.schedule.factor(step)
    }

    /// Makes the update, or returns an error and changes nothing.
    fn apply(
        &mut self,
        found: BatchGradient,
        guard: Option<DriftGuard>,
    ) -> Result<Update, TrainError> {
        let step = self.step + 1;
        let BatchGradient { loss, gradients, drift } = found;
        let nats_per_unit = match self.config.norm_unit {
            GradientUnit::Nats => 1.0,
            GradientUnit::BitsPerDim => self.config.dims as f64 * LN_2,
        };
        let (learning_rate, precision, loss_scale) =
            (self.learning_rate(), self.config.precision, self.loss_scale());
        let (tied, state) = (self.tied, &mut self.state);
        // A bound near the largest value remains finite.
        let max_norm = (self.config.max_norm * nats_per_unit).min(f64::MAX);
        let (gradients, norm) =
            clip_global_norm(gradients, &state.model, max_norm).map_err(|error| match error {
                TrainError::NonFiniteGradient { parameter, .. } => {
                    TrainError::NonFiniteGradient { step: Some(step), parameter, fault: None }
                }
                other => other,
            })?;
        match state.headroom.after(learning_rate, norm.min(max_norm)) {
            Some(headroom) => {
                state.advance(learning_rate, gradients, tied)?;
                state.headroom = headroom;
            }
            None => {
                let mut attempt = state.clone();
                attempt.advance(learning_rate, gradients, tied)?;
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
            bits_per_dim: loss / (self.config.dims as f64 * LN_2),
            gradient_norm: norm / nats_per_unit,
            learning_rate,
            loss_scale,
            drift,
            outcome: UpdateOutcome::Done,
        })
    }

    /// Applies the policy to an update that failed.
    fn settle(&mut self, attempt: Result<Update, TrainError>) -> Result<Update, TrainError> {
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
    fn passed_over(&mut self, loss: f64, outcome: UpdateOutcome) -> Update {
        let (learning_rate, loss_scale) = (self.learning_rate(), self.loss_scale());
        self.step += 1;
        let bits_per_dim = loss / (self.config.dims as f64 * LN_2);
        let (step, gradient_norm) = (self.step, f64::NAN);
        Update {
            step,
            loss,
            bits_per_dim,
            gradient_norm,
            learning_rate,
            loss_scale,
            drift: None,
            outcome,
        }
    }

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
