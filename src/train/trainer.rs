//! Trainer: one update after another, each whole or not at all.
//! ```text
//! loss       nats per example, mean over the batch
//! gradient   clipped to a global norm, of the loss in nats or in bits/dim
//! update     Adam or Adamax, rate warmed up linearly
//! average    exponential moving average of the weights, for evaluation and sampling
//! ```
//! A loss or gradient that is not finite stops the update with an error, and everything is as it was before.
//!
//! # Reference
//! Ho et al. 2019's code: clips the gradient of the loss in nats, which is `D ln 2` times that in bits/dim, so that the clip is active at
//! nearly every step.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::Path;

use burn::config::Config;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::unstarted::Unstarted;

use super::{
    Checkpoint, CheckpointError, Ema, EmaDecay, OptimizerConfig, Purpose, StepSeed, TrainError, WarmUp,
    clip_global_norm,
};

/// Which loss the bound on the gradient's norm speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GradientUnit {
    /// Nats per example.
    Nats,
    /// Bits per dimension.
    BitsPerDim,
}

/// Configuration of a [`Trainer`].
#[derive(Config, Debug, PartialEq)]
pub struct TrainerConfig {
    /// Numbers per example, which turn nats into bits/dim.
    pub dims: usize,
    /// Seed of the run: every draw of every step follows from it.
    #[config(default = 0)]
    pub seed: u64,
    /// Learning rate after the warm-up.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// Updates until the learning rate is reached.
    #[config(default = 100)]
    pub warm_up: u64,
    /// Bound on the global norm of the gradient.
    #[config(default = 1.0)]
    pub max_norm: f64,
    /// Which loss that bound speaks of.
    #[config(default = "GradientUnit::Nats")]
    pub norm_unit: GradientUnit,
    /// Optimizer.
    #[config(default = "OptimizerConfig::Adam")]
    pub optimizer: OptimizerConfig,
    /// Decay of the moving average of the weights.
    #[config(default = "EmaDecay::Warmed(0.999)")]
    pub ema: EmaDecay,
}

impl TrainerConfig {
    /// Whether the configuration describes a training.
    ///
    /// # Errors
    /// The first rule that is broken: `dims` of at least 1, a positive learning rate and norm, a decay in [0, 1).
    pub fn validate(&self) -> Result<(), TrainError> {
        if self.dims == 0 {
            return Err(TrainError::NoDims);
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(TrainError::InvalidLearningRate { learning_rate: self.learning_rate });
        }
        if self.max_norm.is_nan() || self.max_norm <= 0.0 {
            return Err(TrainError::InvalidMaxNorm { max_norm: self.max_norm });
        }
        self.optimizer.validate()?;
        self.ema.validate()
    }
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Number of this update, from 1.
    pub step: u64,
    /// Loss before it, nats per example.
    pub loss: f64,
    /// Loss before it, bits per dimension.
    pub bits_per_dim: f64,
    /// Global norm of the gradient before the clip, in the unit of the configuration.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
}

/// A model in training with its optimizer and its moving average.
#[derive(Clone)]
pub struct Trainer<M: Module> {
    model: M,
    average: Ema<M>,
    optimizer: ModuleOptimizer,
    config: TrainerConfig,
    step: u64,
}

/// Sections and keys of a trainer's checkpoint.
const MODEL: &str = "model";
const AVERAGE: &str = "average";
const OPTIMIZER: &str = "optimizer";
const TRAINER: &str = "trainer";
const STEP: &str = "step";

impl<M: Module> Trainer<M> {
    /// Starts the training of a model, after its data-dependent start.
    ///
    /// # Errors
    /// If [`TrainerConfig::validate`] is one.
    pub fn new(model: M, config: TrainerConfig) -> Result<Self, TrainError> {
        config.validate()?;
        let average = Ema::new(&model, config.ema)?;
        let optimizer = config.optimizer.init();
        Ok(Self { model, average, optimizer, config, step: 0 })
    }

    /// The model as trained so far.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model with averaged weights, for evaluation and sampling.
    pub fn average(&self) -> &M {
        self.average.model()
    }

    /// Updates done.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// One update. `loss` gives the mean loss of a batch in nats per example, `[1]`; the device of its tensors is seeded for this step
    /// first, so that its noise does not depend on what ran before.
    ///
    /// # Errors
    /// [`TrainError::NoGraph`], [`TrainError::NonFiniteLoss`], [`TrainError::NonFiniteGradient`]: the trainer is then as it was before.
    pub fn update(&mut self, device: &Device, loss: impl FnOnce(&M) -> Tensor<1>) -> Result<Update, TrainError> {
        let step = self.step + 1;
        device.seed(StepSeed::new(self.config.seed).seed(self.step, Purpose::Training));
        let loss = loss(&self.model);
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
            return Err(TrainError::NonFiniteLoss { step, value });
        }
        let nats_per_unit = match self.config.norm_unit {
            GradientUnit::Nats => 1.0,
            GradientUnit::BitsPerDim => self.config.dims as f64 * LN_2,
        };
        let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
        let (gradients, norm) = clip_global_norm(gradients, &self.model, self.config.max_norm * nats_per_unit)?;
        let warm_up = WarmUp { peak: self.config.learning_rate, steps: self.config.warm_up };
        let learning_rate = warm_up.lr(step);
        self.model = self.optimizer.step(learning_rate, self.model.clone(), gradients);
        self.average = self.average.clone().update(&self.model)?;
        self.step = step;
        Ok(Update {
            step,
            loss: value,
            bits_per_dim: value / (self.config.dims as f64 * LN_2),
            gradient_norm: norm / nats_per_unit,
            learning_rate,
        })
    }

    /// Writes model, average, optimizer and progress to one file, with the caller's metadata, whose keys must not be `trainer`
    /// or `step`. The file is whole or absent.
    pub fn save(&self, path: impl AsRef<Path>, metadata: BTreeMap<String, String>) -> Result<(), CheckpointError> {
        if let Some(key) = [TRAINER, STEP].into_iter().find(|key| metadata.contains_key(*key)) {
            return Err(CheckpointError::ReservedKey { key: key.into() });
        }
        let mut metadata = metadata;
        let json = |error: serde_json::Error| CheckpointError::Metadata { key: TRAINER, reason: error.to_string() };
        metadata.insert(TRAINER.into(), serde_json::to_string(&self.config).map_err(json)?);
        metadata.insert(STEP.into(), self.step.to_string());
        let mut checkpoint = Checkpoint::new(metadata)?;
        checkpoint.insert(MODEL, &self.model)?;
        checkpoint.insert(AVERAGE, self.average.model())?;
        let optimizer = self.optimizer.into_bytes();
        let record = |reason: String| CheckpointError::Metadata { key: OPTIMIZER, reason };
        checkpoint.insert_bytes(OPTIMIZER, optimizer.map_err(|error| record(error.to_string()))?.to_vec())?;
        checkpoint.save(path)
    }

    /// Goes on where [`Trainer::save`] stopped. `model` gives the architecture, on the device to train on.
    ///
    /// # Errors
    /// If the checkpoint is not a trainer's, or not of this architecture.
    pub fn resume(checkpoint: &Checkpoint, model: Unstarted<M>) -> Result<Self, CheckpointError> {
        let model = model.without_data();
        let field = |key: &'static str, reason: String| CheckpointError::Metadata { key, reason };
        let text = |key: &'static str| checkpoint.metadata(key).ok_or_else(|| field(key, "is missing".into()));
        let config: TrainerConfig =
            serde_json::from_str(text(TRAINER)?).map_err(|error| field(TRAINER, error.to_string()))?;
        config.validate().map_err(|error| field(TRAINER, error.to_string()))?;
        let step: u64 = text(STEP)?.parse().map_err(|error| field(STEP, format!("is no number: {error}")))?;
        let bytes = Bytes::from_bytes_vec(checkpoint.bytes(OPTIMIZER)?.to_vec());
        let optimizer =
            config.optimizer.init().from_bytes(bytes).map_err(|error| field(OPTIMIZER, error.to_string()))?;
        let average = checkpoint.resume(AVERAGE, model.valid())?;
        let model = checkpoint.resume(MODEL, model)?;
        // The average is updated once with every step.
        let average = Ema::resume(average, config.ema, step).map_err(|error| field(TRAINER, error.to_string()))?;
        Ok(Self { model, average, optimizer, config, step })
    }

    /// The averaged weights of a trainer's checkpoint, for evaluation and sampling. `model` gives the architecture.
    ///
    /// # Errors
    /// If the checkpoint is not a trainer's, or not of this architecture.
    pub fn load_average(checkpoint: &Checkpoint, model: Unstarted<M>) -> Result<M, CheckpointError> {
        model.map(|model| model.valid()).load(checkpoint, AVERAGE)
    }
}
