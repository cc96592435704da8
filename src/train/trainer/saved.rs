//! The checkpoint of a trainer: what it contains, and how a run continues from it.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::{State, Trainer};
use crate::bijector::replay::{DriftGuard, GradientMemory};
use crate::flow::uninit::Uninit;
use crate::train::checkpoint::optimizer_state::Expected;
use crate::train::ema::MOST_UPDATES;
use crate::train::headroom::{Headroom, Overflow};
use crate::train::loss_scale::ScaleState;
use crate::train::weights::first_not_finite;
use crate::train::{Checkpoint, CheckpointError, Ema, NonFinite, TrainerConfig, tied, trained};

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Progress {
    /// Number of updates, including skipped ones.
    step: u64,
    /// Number of updates of the average.
    averaged: u64,
    /// Number of updates skipped since the last good one, or under [`NonFinite::Restore`] since the
    /// last checkpoint.
    failures: u64,
    /// State of the drift guard. Absent in checkpoints of older versions.
    #[serde(default)]
    guard: Option<DriftGuard>,
    /// Loss scale, in float16. Absent in checkpoints of older versions.
    #[serde(default)]
    scale: Option<ScaleState>,
}

impl Progress {
    /// Why this is not the progress of a run with this configuration, or `None` if it is.
    fn fault(&self, config: &TrainerConfig) -> Option<String> {
        let Self { step, averaged, failures, guard, scale } = self;
        if *step > MOST_UPDATES {
            return Some(format!("expected at most {MOST_UPDATES} updates, found {step}"));
        }
        for (what, count) in [("averaged", averaged), ("failures", failures)] {
            if count > step {
                return Some(format!(
                    "`{what}` must be at most the number of updates, {step}, found {count}"
                ));
            }
        }
        let guard = match (config.gradient_memory, guard) {
            (_, None) => None,
            (GradientMemory::Reversible { tolerance }, Some(guard)) => guard.fault(tolerance),
            (_, Some(_)) => Some("expected none, because the run inverts no layers".into()),
        };
        let scale = match (config.precision.loss_scale(), scale) {
            (_, None) => None,
            (Some(loss_scale), Some(scale)) => scale.fault(loss_scale, *step),
            (None, Some(_)) => Some("expected none, because the run scales no loss".into()),
        };
        let within =
            |what: &str, fault: Option<String>| fault.map(|fault| format!("`{what}`: {fault}"));
        within("guard", guard).or(within("scale", scale))
    }
}

/// Sections and keys of a trainer's checkpoint.
const MODEL: &str = "model";
const AVERAGE: &str = "average";
const OPTIMIZER: &str = "optimizer";
const TRAINER: &str = "trainer";
const PROGRESS: &str = "progress";

impl<M: Module> Trainer<M> {
    /// Model, average, optimizer and progress, with the caller's metadata, whose keys must not be
    /// `trainer` or `progress`. The caller can add sections before saving it; after saving, call
    /// [`Trainer::mark_saved`].
    ///
    /// # Errors
    /// [`CheckpointError::ReservedKey`]; [`CheckpointError::NonFiniteWeights`], under every policy;
    /// [`CheckpointError::Device`].
    pub fn checkpoint(
        &self,
        metadata: BTreeMap<String, String>,
    ) -> Result<Checkpoint, CheckpointError> {
        if let Some(key) = [TRAINER, PROGRESS].into_iter().find(|key| metadata.contains_key(*key)) {
            return Err(CheckpointError::ReservedKey { key: key.into() });
        }
        let mut metadata = metadata;
        let json =
            |key, result: serde_json::Result<String>| result.map_err(|error| malformed(key, error));
        metadata.insert(TRAINER.into(), json(TRAINER, serde_json::to_string(&self.config))?);
        let State { model, average, optimizer, guard, .. } = &self.state;
        // A run that restores begins its count at each checkpoint, and so at this one.
        let failures =
            if let NonFinite::Restore { .. } = self.config.non_finite { 0 } else { self.failures };
        let (averaged, guard) = (average.updates(), guard.clone());
        let progress = Progress { step: self.step, averaged, failures, guard, scale: self.scale };
        for (section, fault) in
            [(MODEL, first_not_finite(model)), (AVERAGE, first_not_finite(average.model()))]
        {
            if let Some(path) = fault {
                return Err(CheckpointError::NonFiniteWeights {
                    name: format!("{section}.{path}"),
                });
            }
        }
        metadata.insert(PROGRESS.into(), json(PROGRESS, serde_json::to_string(&progress))?);
        let mut checkpoint = Checkpoint::new(metadata)?;
        checkpoint.insert(MODEL, model)?;
        checkpoint.insert(AVERAGE, average.model())?;
        checkpoint.insert_optimizer(OPTIMIZER, optimizer, model)?;
        Ok(checkpoint)
    }

    /// Writes [`Trainer::checkpoint`] to one file, which is whole or absent.
    /// [`Checkpoints`](crate::train::Checkpoints) keeps several.
    ///
    /// # Errors
    /// Those of [`Trainer::checkpoint`], and [`CheckpointError::Write`].
    pub fn save(
        &mut self,
        path: impl AsRef<Path>,
        metadata: BTreeMap<String, String>,
    ) -> Result<(), CheckpointError> {
        self.checkpoint(metadata)?.save(path)?;
        self.mark_saved();
        Ok(())
    }

    /// Resumes from a checkpoint. `model` defines the architecture and is on the device to train
    /// on. Parameters that were frozen are frozen again.
    ///
    /// # Errors
    /// If the checkpoint was not saved by a trainer, or has another architecture;
    /// [`CheckpointError::Metadata`] if its configuration or its progress is invalid;
    /// [`CheckpointError::Optimizer`] and [`CheckpointError::OptimizerState`] if the state of the
    /// optimizer does not fit the model; [`CheckpointError::NonFiniteWeights`];
    /// [`CheckpointError::Training`] for a model that [`Trainer::new`] refuses.
    pub fn resume(checkpoint: &Checkpoint, model: Uninit<M>) -> Result<Self, CheckpointError> {
        let model = model.without_data();
        let text = |key| checkpoint.metadata(key).ok_or_else(|| malformed(key, "it is missing"));
        // A field that an older version did not write has its default; one that this version does
        // not know describes another run and is an error.
        let config: TrainerConfig =
            serde_json::from_str(text(TRAINER)?).map_err(|error| malformed(TRAINER, error))?;
        config.validate().map_err(|error| malformed(TRAINER, error))?;
        let progress =
            serde_json::from_str(text(PROGRESS)?).map_err(|error| malformed(PROGRESS, error));
        let progress: Progress = progress?;
        if let Some(fault) = progress.fault(&config) {
            return Err(malformed(PROGRESS, fault));
        }
        let Progress { step, averaged, failures, guard, scale } = progress;
        // A file written before there were loss scales begins with a new one.
        let scale = scale.or_else(|| config.precision.loss_scale().map(ScaleState::new));
        // The model first, since this fills its lazy parameters: no random values are generated
        // that the file would replace.
        let model = checkpoint.resume(MODEL, model)?;
        let average = checkpoint.resume(AVERAGE, model.valid())?;
        config.precision.check(&model).map_err(|error| malformed(TRAINER, error))?;
        let expected = Expected { parts: Some(config.optimizer.state_prefix()), updates: step };
        let optimizer =
            checkpoint.optimizer_of(OPTIMIZER, config.optimizer.init(), &model, expected)?;
        let untrained = |source| CheckpointError::Training { source };
        trained::check(&model).map_err(untrained)?;
        let tied = tied::check(&model).map_err(untrained)?;
        let average = Ema::resume(average, config.ema, averaged)
            .map_err(|error| malformed(TRAINER, error))?;
        let measured = Headroom::measure(&model, average.model(), &optimizer).map_err(untrained)?;
        let headroom = measured.map_err(|Overflow { what, parameter }| {
            let section = if what == "weights" {
                MODEL
            } else if what == "average" {
                AVERAGE
            } else {
                OPTIMIZER
            };
            CheckpointError::NonFiniteWeights { name: format!("{section}.{parameter}") }
        })?;
        let state = State { model, average, optimizer, guard, headroom };
        let mut trainer = Self { state, good: None, config, tied, step, failures, scale };
        trainer.mark_saved();
        Ok(trainer)
    }

    /// The averaged weights of a trainer's checkpoint, for evaluation and sampling. `model` defines
    /// the architecture.
    ///
    /// # Errors
    /// If the checkpoint was not saved by a trainer, or has another architecture.
    pub fn load_average(checkpoint: &Checkpoint, model: Uninit<M>) -> Result<M, CheckpointError> {
        Ok(model.load_section(checkpoint, AVERAGE)?.valid())
    }
}

fn malformed(key: &'static str, reason: impl ToString) -> CheckpointError {
    CheckpointError::Metadata { key, reason: reason.to_string() }
}
