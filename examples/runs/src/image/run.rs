//! A run under way: what it has seen, what it saves, and when it ends.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use burn::module::Module;
use flowkit::flow::likelihood::OneSampleBound;
use flowkit::train::{Checkpoint, CheckpointError, Checkpoints, Trainer, Update, UpdateOutcome};
use flowkit::{BitsPerDim, FlowError};

use super::args::RunArgs;
use super::conduct::{self, Conduct};
use super::failure::Failure;
use super::folder::Folder;
use super::history::History;
use super::model::ImageConfig;
use super::plan::Plan;
use super::progress::Progress;
use super::results::Results;
use super::settings::{self, Settings};
use super::{progress, saved};
use crate::counted::counted;
use crate::signals::Signals;
use crate::{complain, say};

/// Time between two tries of the last save. Our choice: long enough for others to make room on a
/// disk.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Where a checkpoint is written.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In `checkpoints`, and published from there.
    Checkpoints,
    PublishedAlone,
}

/// A run under way. The trainer is the caller's.
pub struct Run<'a, C> {
    args: &'a RunArgs,
    folder: Folder,
    checkpoints: Checkpoints,
    config: C,
    batch_size: usize,
    settings: Settings,
    conduct: Conduct,
    history: History,
    progress: Progress,
    /// Update of the last checkpoint.
    saved: u64,
    /// `None` before it listens.
    signals: Option<Signals>,
}

impl<'a, C: ImageConfig> Run<'a, C> {
    pub(super) fn new(
        args: &'a RunArgs,
        folder: Folder,
        checkpoints: Checkpoints,
        config: C,
        plan: Plan,
        history: History,
    ) -> Self {
        let Plan { batch_size, settings, conduct, .. } = plan;
        let (progress, saved) = (Progress::new(conduct), history.train.len() as u64);
        let signals = None;
        Self {
            args,
            folder,
            checkpoints,
            config,
            batch_size,
            settings,
            conduct,
            history,
            progress,
            saved,
            signals,
        }
    }

    /// Says what is trained, and listens for signals from then on.
    pub(super) fn listen<M: Module>(&mut self, trainer: &Trainer<M>) -> Result<(), Failure> {
        let preset = self.settings.get("preset").map_or("", String::as_str);
        let (name, parameters, batch) = (C::NAME, trainer.model().num_params(), self.batch_size);
        say!("{name} {preset}: {parameters} parameters, batches of {batch}");
        let signals = Signals::listen().map_err(|source| Failure::Signals { source })?;
        self.signals = Some(signals);
        self.progress.restart();
        Ok(())
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Whether there is another update to do: until a limit is reached, or a signal came.
    pub fn goes_on<M: Module>(&self, trainer: &Trainer<M>) -> bool {
        let signal = self.signals.as_ref().and_then(Signals::asked);
        signal.is_none() && !self.conduct.is_over(trainer.step_count(), &self.history)
    }

    /// Does an update and counts its time.
    pub fn timed<T>(&mut self, update: impl FnOnce() -> T) -> T {
        progress::time(&mut self.history, update)
    }

    /// Notes an update, and prints why one was passed over.
    pub fn record(&mut self, update: &Update<BitsPerDim<OneSampleBound>>) {
        if let UpdateOutcome::Skipped(reason) | UpdateOutcome::Restored(reason) = &update.outcome {
            complain!("warning: update {} was passed over: {reason}", update.step);
        }
        let done = update.outcome == UpdateOutcome::Done;
        self.history.train.push(done.then_some(update.bits_per_dim.value()));
    }

    /// Whether the curve wants held-out images after this update. Where a life of the run ends
    /// makes no difference.
    pub fn wants_test(&self, step: u64) -> bool {
        step.is_multiple_of(25)
    }

    /// Whether the curve has held-out images after this update.
    pub fn is_tested(&self, step: u64) -> bool {
        self.history.test.last().is_some_and(|(tested, _)| *tested == step)
    }

    /// Notes the bits/dim of held-out images after an update. They change nothing in the run, so a
    /// bound that is not finite does not end it: the policy is about losses and gradients.
    pub fn record_test(
        &mut self,
        step: u64,
        bits: Result<BitsPerDim<OneSampleBound>, Failure>,
    ) -> Result<(), Failure> {
        let bits = match bits {
            Ok(bits) => Some(bits.value()).filter(|bits| bits.is_finite()),
            Err(Failure::Flow(error @ FlowError::NonFiniteLikelihood { .. })) => {
                complain!("warning: test images after update {step}: {error}");
                None
            }
            Err(failure) => return Err(failure),
        };
        self.history.test.push((step, bits));
        Ok(())
    }

    /// Shows the progress, and saves where a checkpoint is due.
    pub fn save_when_due<M: Module>(&mut self, trainer: &mut Trainer<M>) -> Result<(), Failure> {
        let step = trainer.step_count();
        self.progress.clock(&mut self.history);
        self.progress.show(step, &self.history);
        if step.is_multiple_of(self.conduct.save_every) {
            self.save_if_possible(trainer)?;
        }
        Ok(())
    }

    /// Ends the run after its last update, or after the error that broke it off: saves what was
    /// learned. [`Failure::Stopped`] if a signal ended it.
    pub fn end<M: Module>(
        &mut self,
        trainer: &mut Trainer<M>,
        learned: Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Err(failure) = learned {
            // What was learned so far is not lost with what failed, which is what the user must
            // hear of first.
            if let Err(second) = self.save_after_failure(trainer) {
                complain!("warning: the state before it could not be saved: {second}");
            }
            return Err(failure);
        }
        let step = trainer.step_count();
        if self.conduct.is_over(step, &self.history) {
            self.progress.finish();
        }
        if step != self.saved {
            self.save_end(trainer)?;
        }
        // A signal that came in the last update or the last save counts, too.
        if let Some(signal) = self.signals.as_ref().and_then(Signals::asked) {
            let out = self.folder.out().to_path_buf();
            return Err(Failure::Stopped { signal, step, out });
        }
        if let Some(signals) = &self.signals {
            signals.end_at_once();
        }
        Ok(())
    }

    /// The files of a run that has ended, apart from its checkpoint, which is there already.
    pub fn results<M: Module>(&self, trainer: &Trainer<M>) -> Results<'_> {
        let Self { args, folder, config, batch_size, history, .. } = self;
        let n_levels = config.n_levels();
        Results::new(folder, history, trainer, *batch_size, n_levels, args.device.name())
    }

    /// Why a save in the folder of checkpoints failed.
    fn failed_save(&self, error: CheckpointError) -> Failure {
        match error {
            CheckpointError::LaterCheckpoint { later, .. } => {
                Failure::InTheWay { path: self.checkpoints.path(later) }
            }
            error => error.into(),
        }
    }

    pub(super) fn save<M: Module>(&mut self, trainer: &mut Trainer<M>) -> Result<(), Failure> {
        let checkpoint = self.checkpoint(trainer, Place::Checkpoints)?;
        let saved = self.checkpoints.save(trainer.step_count(), &checkpoint);
        let path = saved.map_err(|error| self.failed_save(error))?;
        trainer.mark_saved();
        self.saved = trainer.step_count();
        Ok(self.folder.publish(&path)?)
    }

    /// Saves. If the disk refuses, perhaps only for now, this is reported, and the run goes on.
    fn save_if_possible<M: Module>(&mut self, trainer: &mut Trainer<M>) -> Result<(), Failure> {
        match self.save(trainer) {
            Err(failure) if failure.is_of_folder() => {
                let every = counted(self.conduct.save_every, "update");
                complain!("warning: {failure}; the run goes on, and tries again after {every}");
                Ok(())
            }
            saved => saved,
        }
    }

    /// Saves what the run ends with, in several tries, and at last in the published file alone.
    fn save_end<M: Module>(&mut self, trainer: &mut Trainer<M>) -> Result<(), Failure> {
        for pause in PAUSES {
            match self.save(trainer) {
                Err(failure) if failure.is_of_folder() => {
                    complain!("warning: {failure}; trying again in {} s", pause.as_secs());
                    sleep(pause);
                }
                saved => return saved,
            }
        }
        match self.save(trainer) {
            Err(failure) if failure.is_of_folder() => self.save_alone(trainer, &failure),
            saved => saved,
        }
    }

    /// Saves what was learned until an update failed, beside what is there.
    fn save_after_failure<M: Module>(&mut self, trainer: &Trainer<M>) -> Result<(), Failure> {
        let checkpoint = self.checkpoint(trainer, Place::Checkpoints)?;
        let added = self.checkpoints.add(trainer.step_count(), &checkpoint);
        let published = added
            .map_err(|error| self.failed_save(error))
            .and_then(|path| Ok(self.folder.publish(&path)?));
        match published {
            Err(failure) if failure.is_of_folder() => self.save_alone(trainer, &failure),
            published => published,
        }
    }

    /// Saves where the folder of checkpoints cannot.
    fn save_alone<M: Module>(
        &mut self,
        trainer: &Trainer<M>,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let (step, path) = (trainer.step_count(), self.folder.published());
        self.folder.check_published()?;
        if let Err(error) = self.checkpoint(trainer, Place::PublishedAlone)?.save(&path) {
            complain!(
                "warning: the last update that is saved is {}: go on from there by --resume",
                self.saved
            );
            return Err(error.into());
        }
        complain!(
            "warning: {failure}; update {step} is in {} alone: go on from there by --resume",
            path.display()
        );
        self.saved = step;
        Ok(())
    }

    fn checkpoint<M: Module>(
        &self,
        trainer: &Trainer<M>,
        place: Place,
    ) -> Result<Checkpoint, Failure> {
        let mut metadata = BTreeMap::from([
            (C::KEY.to_string(), serde_json::to_string(&self.config)?),
            (settings::KEY.to_string(), serde_json::to_string(&self.settings)?),
            (conduct::KEY.to_string(), serde_json::to_string(&self.conduct)?),
        ]);
        if place == Place::PublishedAlone {
            metadata.insert(saved::ALONE.into(), String::new());
        }
        let mut checkpoint = trainer.checkpoint(metadata)?;
        self.history.write(&mut checkpoint)?;
        Ok(checkpoint)
    }
}
