//! Trainer: makes one update after another, each completely or not at all.
//! ```text
//! loss       nats per example, mean over the batch
//! gradient   clipped to a global norm, of the loss in nats or in bits/dim
//! update     Adam or Adamax, rate warmed up linearly, then by a schedule
//! average    exponential moving average of the weights, for evaluation and sampling
//! ```
//! A loss or gradient that is not finite never reaches the weights, and an update that would make
//! weights, average or moments not finite is not applied. [`NonFinite`](super::NonFinite)
//! determines what happens instead.
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

mod apply;
mod attempt;
mod saved;
mod settings;
mod state;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use self::state::State;
use super::headroom::Headroom;
use super::loss_scale::ScaleState;
use super::{Ema, Objective, StepSeed, TrainError, TrainerConfig, Update, tied, trained};
use crate::bijector::replay::{DriftGuard, GradientMemory};
use crate::error::{ConfigError, FlowError};
use crate::flow::likelihood::BitsPerDim;
use crate::random::Seeded;

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
    /// closure, supports policies other than [`GradientMemory::Store`], and reports the loss in
    /// bits/dim too.
    ///
    /// # Errors
    /// [`TrainError::LossShape`] unless the loss is a single value; [`TrainError::UnknownDims`] for
    /// a norm in bits/dim; [`TrainError::NoGraph`]; [`TrainError::NothingTrained`];
    /// [`TrainError::Device`]; [`TrainError::NoReplay`] under other policies than
    /// [`GradientMemory::Store`]. Under [`NonFinite::Stop`](super::NonFinite::Stop) also
    /// [`TrainError::NonFiniteLoss`], [`TrainError::NonFiniteGradient`] and
    /// [`TrainError::NonFiniteUpdate`]; under the other policies [`TrainError::GaveUp`]. The
    /// trainer is then as it was before.
    pub fn update(
        &mut self,
        device: &Device,
        loss: impl FnOnce(&M) -> Tensor<1>,
    ) -> Result<Update, TrainError> {
        let nats_per_unit = self.nats_per_unit(None)?;
        let mut scope = Seeded::hold(device);
        let (seeds, mut guard) = (StepSeed::new(self.config.seed), None);
        let pass = self.pass(device, seeds, &mut guard);
        let found = match pass.gradient_memory {
            GradientMemory::Store => {
                pass.seed();
                let model = self.working_copy();
                pass.store(&model, loss(&model)).map(|found| self.master(found))
            }
            gradient_memory => Err(TrainError::NoReplay { gradient_memory }),
        };
        let attempt = found.and_then(|found| self.apply(found, guard, nats_per_unit, &mut scope));
        self.settle(attempt)
    }

    /// [`Trainer::update`] with a loss that can be searched. The error of a loss that is not finite
    /// names the first layer, in the order of `forward`, whose output is not finite. The error of
    /// such a gradient names the first layer in the backward pass at which it is not finite.
    ///
    /// Under a policy other than [`GradientMemory::Store`] the loss is computed by a replay, and
    /// the search uses the same noise but other dropout masks.
    ///
    /// # Errors
    /// As [`Trainer::update`], except [`TrainError::UnknownDims`]; [`TrainError::Config`] for an
    /// objective without elements; [`TrainError::Batch`] if the batch does not fit the model, or
    /// has values outside the range of the model, whatever the policy
    /// [`NonFinite`](super::NonFinite); [`TrainError::NonFiniteContext`], which that policy treats
    /// like a loss that is not finite.
    pub fn update_on<O: Objective<M>>(
        &mut self,
        device: &Device,
        objective: &O,
    ) -> Result<Update<BitsPerDim<O::Provenance>>, TrainError> {
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
    ) -> Result<Update<BitsPerDim<O::Provenance>>, TrainError> {
        let mut scope = Seeded::hold(device);
        let seeds = StepSeed::new(self.config.seed);
        let model = &self.working_copy();
        parts.iter().try_for_each(|part| part.check_unread(model))?;
        let first = parts.first().ok_or(TrainError::NoBatch)?;
        let (dims, provenance) = (first.dims(model), first.provenance());
        ConfigError::positive("Objective", "dims", dims)?;
        let nats_per_unit = self.nats_per_unit(Some(dims))?;
        let weight = mean_weight(model, parts)?;
        let mut attempt = self.attempt(device, model, parts, nats_per_unit, &mut scope);
        if let Err((index, error)) = &mut attempt {
            if let TrainError::NonFiniteLoss { .. } | TrainError::NonFiniteContext { .. } = error {
                // Values outside the range of the model have a loss of NaN, and this error instead.
                parts.iter().try_for_each(|part| part.check(model))?;
            }
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
        let update = self.settle(attempt.map_err(|(_, error)| error))?;
        let bits_per_dim = BitsPerDim::of_loss(update.loss / weight, dims, provenance);
        Ok(update.with_bits_per_dim(bits_per_dim))
    }
}

/// Mean weight of the examples of all parts.
fn mean_weight<M, O: Objective<M>>(model: &M, parts: &[O]) -> Result<f64, FlowError> {
    let (mut examples, mut sum) = (0, 0.0);
    for part in parts {
        let n = part.examples(model);
        examples += n;
        sum += n as f64 * part.mean_weight();
    }
    // A batch without examples is refused by its own error.
    if examples > 0 && sum == 0.0 {
        return Err(FlowError::NoWeight { examples });
    }
    Ok(sum / examples as f64)
}
