//! Trainer: one update after another, each whole or not at all.
//! ```text
//! loss       nats per example, mean over the batch
//! gradient   clipped to a global norm, of the loss in nats or in bits/dim
//! update     Adam or Adamax, rate warmed up linearly, then by a schedule
//! average    exponential moving average of the weights, for evaluation and sampling
//! ```
//! A loss or gradient that is not finite never reaches the weights; what happens instead is for [`NonFinite`] to say.
//!
//! # Going on
//! Weights, average, moments and the number of the update are all that an update depends on beside its batch: its noise, its rate and (with
//! [`Batches`](crate::data::Batches)) its batch follow from the number. A run that is killed and resumed from a checkpoint is therefore the
//! run that never stopped, bit for bit on a CPU.
//!
//! # Reference
//! Ho et al. 2019's code: clips the gradient of the loss in nats, which is `D ln 2` times that in bits/dim, so that the clip is active at
//! nearly every step.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::Path;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::loss_scale::ScaleState;
use super::weights::first_not_finite;
use super::{
    Checkpoint, CheckpointError, Ema, GradientUnit, NonFinite, Objective, Outcome, Precision, Purpose, StepSeed,
    TrainError, TrainerConfig, Update, WarmUp, clip_global_norm,
};
use crate::unstarted::Unstarted;

/// What an update changes.
#[derive(Clone)]
struct State<M: Module> {
    model: M,
    average: Ema<M>,
    optimizer: ModuleOptimizer,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Updates, those that were passed over among them.
    step: u64,
    /// Updates that went into the average.
    averaged: u64,
    /// Updates passed over since the last good one, or under [`NonFinite::Restore`] since the last checkpoint.
    failures: u64,
    /// In float16.
    #[serde(default)]
    scale: Option<ScaleState>,
}

/// A model in training with its optimizer and its moving average.
#[derive(Clone)]
pub struct Trainer<M: Module> {
    state: State<M>,
    /// What [`NonFinite::Restore`] goes back to.
    good: Option<State<M>>,
    config: TrainerConfig,
    step: u64,
    failures: u64,
    scale: Option<ScaleState>,
}

/// Sections and keys of a trainer's checkpoint.
const MODEL: &str = "model";
const AVERAGE: &str = "average";
const OPTIMIZER: &str = "optimizer";
const TRAINER: &str = "trainer";
const PROGRESS: &str = "progress";

impl<M: Module> Trainer<M> {
    /// Starts the training of a model, after its data-dependent start.
    ///
    /// # Errors
    /// If [`TrainerConfig::validate`] is one; [`TrainError::UnsupportedPrecision`].
    pub fn new(model: M, config: TrainerConfig) -> Result<Self, TrainError> {
        config.validate()?;
        config.precision.check(&model)?;
        let average = Ema::new(&model, config.ema)?;
        let optimizer = config.optimizer.init();
        let scale = config.precision.loss_scale().map(ScaleState::new);
        let state = State { model, average, optimizer };
        let mut trainer = Self { state, good: None, config, step: 0, failures: 0, scale };
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

    /// Updates so far, those that were passed over among them.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The configuration.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// One update: the gradient of `loss`, clipped, moves the weights, and the average follows them.
    ///
    /// `loss` gives the mean loss of a batch in nats per example, `[1]`; `device`, the one of its tensors, is seeded for this update first,
    /// so that its noise does not depend on what ran before. Take the batch from [`Trainer::step_count`] for the same reason.
    ///
    /// [`Trainer::update_on`] names the layer that a loss failed at, which a closure cannot.
    ///
    /// # Errors
    /// [`TrainError::NoGraph`], [`TrainError::Device`], and under [`NonFinite::Stop`] [`TrainError::NonFiniteLoss`] and
    /// [`TrainError::NonFiniteGradient`]; under the other policies [`TrainError::GaveUp`]. The trainer is then as it was before.
    pub fn update(&mut self, device: &Device, loss: impl FnOnce(&M) -> Tensor<1>) -> Result<Update, TrainError> {
        let attempt = self.attempt(device, loss);
        self.settle(attempt)
    }

    /// [`Trainer::update`] on a loss that can be searched: a loss that is not finite is an error that names the first layer, in the order of
    /// forward, whose output is not finite, and a gradient one that names the first layer on the way back that makes it so.
    ///
    /// # Errors
    /// As [`Trainer::update`].
    pub fn update_on(&mut self, device: &Device, objective: &impl Objective<M>) -> Result<Update, TrainError> {
        let mut attempt = self.attempt(device, |model| objective.loss(model));
        match &mut attempt {
            Err(TrainError::NonFiniteLoss { fault, .. }) => {
                self.seed(device);
                *fault = objective.fault(&self.working_copy());
            }
            Err(TrainError::NonFiniteGradient { fault, .. }) if self.smaller_scale().is_none() => {
                self.seed(device);
                *fault = objective.gradient_fault(&self.working_copy());
            }
            _ => {}
        }
        self.settle(attempt)
    }

    fn seed(&self, device: &Device) {
        device.seed(StepSeed::new(self.config.seed).seed(self.step, Purpose::Training));
    }

    /// The model in the types that an update computes in.
    fn working_copy(&self) -> M {
        self.config.precision.working_copy(&self.state.model)
    }

    /// The next loss scale, if that may be why a gradient is not finite.
    fn smaller_scale(&self) -> Option<ScaleState> {
        self.scale?.overflowed(self.config.precision.loss_scale()?)
    }

    /// The factor on the loss.
    fn loss_scale(&self) -> f64 {
        self.scale.map_or(1.0, ScaleState::factor)
    }

    /// The rate of the next update.
    fn learning_rate(&self) -> f64 {
        let step = self.step + 1;
        let warm_up = WarmUp { peak: self.config.learning_rate, steps: self.config.warm_up };
        warm_up.lr(step) * self.config.schedule.factor(step)
    }

    /// An update that is done, or an error and nothing changed.
    fn attempt(&mut self, device: &Device, loss: impl FnOnce(&M) -> Tensor<1>) -> Result<Update, TrainError> {
        let step = self.step + 1;
        self.seed(device);
        let working = self.working_copy();
        let loss = loss(&working);
        if !loss.is_tracked() {
            return Err(TrainError::NoGraph);
        }
        let value: f64 = loss
            .clone()
            .inner()
            .try_into_data()
            .map_err(|error| TrainError::Device { reason: error.to_string() })?
            .iter::<f64>()
            .sum();
        if !value.is_finite() {
            return Err(TrainError::NonFiniteLoss { step, value, fault: None });
        }
        let nats_per_unit = match self.config.norm_unit {
            GradientUnit::Nats => 1.0,
            GradientUnit::BitsPerDim => self.config.dims as f64 * LN_2,
        };
        let (learning_rate, precision, loss_scale) = (self.learning_rate(), self.config.precision, self.loss_scale());
        let State { model, average, optimizer } = &mut self.state;
        let scaled = if loss_scale == 1.0 { loss } else { loss.mul_scalar(loss_scale) };
        let gradients = GradientsParams::from_grads(scaled.backward(), &working);
        let gradients = precision.master_gradients(gradients, model, loss_scale);
        // A bound near the largest number stays one.
        let max_norm = (self.config.max_norm * nats_per_unit).min(f64::MAX);
        let (gradients, norm) = clip_global_norm(gradients, model, max_norm).map_err(|error| match error {
            TrainError::NonFiniteGradient { parameter, .. } => {
                TrainError::NonFiniteGradient { step: Some(step), parameter, fault: None }
            }
            other => other,
        })?;
        *model = optimizer.step(learning_rate, model.clone(), gradients);
        *average = average.clone().update(model)?;
        self.step = step;
        self.scale = self.scale.zip(precision.loss_scale()).map(|(state, scale)| state.good(scale));
        if !matches!(self.config.non_finite, NonFinite::Restore { .. }) {
            self.failures = 0;
        }
        Ok(Update {
            step,
            loss: value,
            bits_per_dim: value / (self.config.dims as f64 * LN_2),
            gradient_norm: norm / nats_per_unit,
            learning_rate,
            loss_scale,
            outcome: Outcome::Done,
        })
    }

    /// Lets the policy decide about an update that failed.
    fn settle(&mut self, attempt: Result<Update, TrainError>) -> Result<Update, TrainError> {
        let error = match attempt {
            Err(error) if error.is_non_finite() => error,
            settled => return settled,
        };
        if let (TrainError::NonFiniteGradient { .. }, Some(smaller)) = (&error, self.smaller_scale()) {
            let passed_over = self.passed_over(f64::NAN, Outcome::Overflowed);
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
        let loss = if let TrainError::NonFiniteLoss { value, .. } = error { value } else { f64::NAN };
        self.failures += 1;
        let outcome = match &self.good {
            Some(good) => {
                self.state = good.clone();
                Outcome::Restored(error)
            }
            None => Outcome::Skipped(error),
        };
        Ok(self.passed_over(loss, outcome))
    }

    /// Counts an update that changed nothing.
    fn passed_over(&mut self, loss: f64, outcome: Outcome) -> Update {
        let (learning_rate, loss_scale) = (self.learning_rate(), self.loss_scale());
        self.step += 1;
        let bits_per_dim = loss / (self.config.dims as f64 * LN_2);
        let gradient_norm = f64::NAN;
        Update { step: self.step, loss, bits_per_dim, gradient_norm, learning_rate, loss_scale, outcome }
    }

    /// Tells the trainer that its present state is in a saved checkpoint: [`NonFinite::Restore`] goes back there and counts anew. Needless
    /// after [`Trainer::save`]; to be called when a [`Trainer::checkpoint`] was saved by other means, such as
    /// [`Checkpoints::save`](super::Checkpoints::save), and not if that failed.
    pub fn mark_saved(&mut self) {
        if let NonFinite::Restore { .. } = self.config.non_finite {
            // Tensors are shared until the next update makes new ones.
            self.good = Some(self.state.clone());
            self.failures = 0;
        }
    }

    /// Goes on under another policy, which begins to count here.
    pub fn with_non_finite(mut self, policy: NonFinite) -> Self {
        self.config.non_finite = policy;
        (self.failures, self.good) = (0, None);
        self.mark_saved();
        self
    }

    /// Goes on at another learning rate (the peak, which warm-up and schedule scale).
    ///
    /// # Errors
    /// [`TrainError::InvalidLearningRate`].
    pub fn with_learning_rate(mut self, learning_rate: f64) -> Result<Self, TrainError> {
        self.config.learning_rate = learning_rate;
        self.config.validate()?;
        Ok(self)
    }

    /// Goes on in another precision, with a new loss scale.
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

    /// Model, average, optimizer and progress, with the caller's metadata, whose keys must not be `trainer` or `progress`. Sections of the
    /// caller's own can be added before it is saved; after that, call [`Trainer::mark_saved`].
    ///
    /// # Errors
    /// [`CheckpointError::ReservedKey`]; [`CheckpointError::NonFiniteWeights`], under every policy; [`CheckpointError::Device`].
    pub fn checkpoint(&self, metadata: BTreeMap<String, String>) -> Result<Checkpoint, CheckpointError> {
        if let Some(key) = [TRAINER, PROGRESS].into_iter().find(|key| metadata.contains_key(*key)) {
            return Err(CheckpointError::ReservedKey { key: key.into() });
        }
        let mut metadata = metadata;
        let json = |key, result: serde_json::Result<String>| result.map_err(|error| malformed(key, error));
        metadata.insert(TRAINER.into(), json(TRAINER, serde_json::to_string(&self.config))?);
        let State { model, average, optimizer } = &self.state;
        // A run that restores starts its count at each checkpoint, and so at this one.
        let failures = if let NonFinite::Restore { .. } = self.config.non_finite { 0 } else { self.failures };
        let progress = Progress { step: self.step, averaged: average.updates(), failures, scale: self.scale };
        for (section, fault) in [(MODEL, first_not_finite(model)), (AVERAGE, first_not_finite(average.model()))] {
            if let Some(path) = fault {
                return Err(CheckpointError::NonFiniteWeights { name: format!("{section}.{path}") });
            }
        }
        metadata.insert(PROGRESS.into(), json(PROGRESS, serde_json::to_string(&progress))?);
        let mut checkpoint = Checkpoint::new(metadata)?;
        checkpoint.insert(MODEL, model)?;
        checkpoint.insert(AVERAGE, average.model())?;
        let optimizer = optimizer.into_bytes().map_err(|error| malformed(OPTIMIZER, error))?;
        checkpoint.insert_bytes(OPTIMIZER, optimizer.to_vec())?;
        Ok(checkpoint)
    }

    /// Writes [`Trainer::checkpoint`] to one file, which is whole or absent. [`Checkpoints`](super::Checkpoints) keeps several.
    pub fn save(&mut self, path: impl AsRef<Path>, metadata: BTreeMap<String, String>) -> Result<(), CheckpointError> {
        self.checkpoint(metadata)?.save(path)?;
        self.mark_saved();
        Ok(())
    }

    /// Goes on where a checkpoint stopped. `model` gives the architecture, on the device to train on.
    ///
    /// # Errors
    /// If the checkpoint is not a trainer's, or not of this architecture.
    pub fn resume(checkpoint: &Checkpoint, model: Unstarted<M>) -> Result<Self, CheckpointError> {
        let model = model.without_data();
        let text = |key| checkpoint.metadata(key).ok_or_else(|| malformed(key, "is missing"));
        let config = TrainerConfig::from_json(text(TRAINER)?).map_err(|error| malformed(TRAINER, error))?;
        config.validate().map_err(|error| malformed(TRAINER, error))?;
        let progress = serde_json::from_str(text(PROGRESS)?).map_err(|error| malformed(PROGRESS, error));
        let Progress { step, averaged, failures, scale } = progress?;
        config.precision.check(&model).map_err(|error| malformed(TRAINER, error))?;
        // A file that was written before there were scales begins with a new one.
        let scale = scale.or_else(|| config.precision.loss_scale().map(ScaleState::new));
        let bytes = Bytes::from_bytes_vec(checkpoint.bytes(OPTIMIZER)?.to_vec());
        let optimizer = config.optimizer.init().from_bytes(bytes).map_err(|error| malformed(OPTIMIZER, error))?;
        let average = checkpoint.resume(AVERAGE, model.valid())?;
        let model = checkpoint.resume(MODEL, model)?;
        let average = Ema::resume(average, config.ema, averaged).map_err(|error| malformed(TRAINER, error))?;
        let state = State { model, average, optimizer };
        let mut trainer = Self { state, good: None, config, step, failures, scale };
        trainer.mark_saved();
        Ok(trainer)
    }

    /// The averaged weights of a trainer's checkpoint, for evaluation and sampling. `model` gives the architecture.
    ///
    /// # Errors
    /// If the checkpoint is not a trainer's, or not of this architecture.
    pub fn load_average(checkpoint: &Checkpoint, model: Unstarted<M>) -> Result<M, CheckpointError> {
        model.map(|model| model.valid()).load(checkpoint, AVERAGE)
    }
}

fn malformed(key: &'static str, reason: impl ToString) -> CheckpointError {
    CheckpointError::Metadata { key, reason: reason.to_string() }
}
