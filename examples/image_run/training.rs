//! The training loop of the image examples, and how a run is begun or taken up again.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use burn::module::Module;
use burn::tensor::Device;
use flowkit::FlowError;
use flowkit::data::{Augmentation, Batches, ImageBatcher, Loader, LoaderConfig, Split, Steps};
use flowkit::random::Seeded;
use flowkit::train::{
    Checkpoint, CheckpointError, Checkpoints, Purpose, StepSeed, Trainer, TrainerConfig,
    UpdateOutcome,
};

use super::args::{AUGMENT, RunArgs};
use super::conduct::{self, Conduct};
use super::evaluate;
use super::failure::Failure;
use super::folder::{Folder, ModelRun};
use super::history::History;
use super::memory;
use super::model::{ImageModel, ImageModelConfig, Levels};
use super::progress;
use super::saved::{self, Saved, read_config};
use super::settings::{self, Setting, Settings};
use super::signals::{Signal, Signals};
use super::source;

/// A model and its training, from the command line.
pub struct Experiment<C> {
    pub config: C,
    /// Its seed is set by `--seed`, its rate by `--lr`, its average by `--ema`.
    pub training: TrainerConfig,
    /// Images of one update, unless `--batch` says.
    pub batch_size: usize,
    /// Images of the data-dependent start.
    pub start_size: usize,
    /// What is done to training images, unless `--augment` says.
    pub augmentations: Vec<Augmentation>,
    /// The flags of this example.
    pub flags: Vec<Setting>,
}

/// Test images of the curve.
const CURVE_IMAGES: usize = 32;

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

/// A run under way.
struct Run<'a, C: ImageModelConfig> {
    folder: &'a Folder,
    checkpoints: Checkpoints,
    config: C,
    settings: Settings,
    conduct: Conduct,
    trainer: Trainer<C::Model>,
    history: History,
    /// Update of the last checkpoint.
    saved: u64,
}

impl<'a, C: ImageModelConfig> Run<'a, C> {
    /// From the first update.
    fn begin(
        experiment: Experiment<C>,
        args: &RunArgs,
        split: &Split,
        device: &Device,
        folder: &'a Folder,
    ) -> Result<Self, Failure> {
        let Experiment { config, training, batch_size, start_size, augmentations, flags } =
            experiment;
        let settings =
            settings::begin(args.settings(flags, &training, batch_size, &augmentations, split)?);
        let conduct = Conduct::default().with_flags(args);
        let data = &split.train;
        let seed = args.seed();
        let training = args.training(training);
        training.validate()?;
        memory::advise(training.gradient_memory);
        Batches::new(data.len(), args.batch.unwrap_or(batch_size), seed)?;
        device.seed(StepSeed::new(seed).seed(0, Purpose::Initialization));
        let first = Batches::new(data.len(), start_size.min(data.len()), seed)?.indices(0);
        let model = C::Model::initialize(config.build(device)?, data.batch(&first, device))?;
        let trainer = Trainer::new(model, training)?;
        folder.remove_leftovers()?;
        folder.check_published()?;
        // An earlier run in the folder ends with the first save of this one: until then a resume
        // finds the newest checkpoint of the earlier run, and from then on that of this run.
        let checkpoints = Checkpoints::open(folder.checkpoints(), conduct.keep)?.replacing();
        let history = History::default();
        let mut run =
            Self { folder, checkpoints, config, settings, conduct, trainer, history, saved: 0 };
        run.save()?;
        folder.remove_results()?;
        Ok(run)
    }

    /// From a checkpoint.
    fn resume(
        saved: Saved,
        experiment: Experiment<C>,
        args: &RunArgs,
        data: &Split,
        device: &Device,
        folder: &'a Folder,
    ) -> Result<Self, Failure> {
        let source = args.source(saved.source()?);
        let Saved {
            checkpoints,
            checkpoint,
            mut path,
            is_lost,
            mut settings,
            conduct,
            history,
            ..
        } = saved;
        let Experiment { training, batch_size, augmentations, flags, .. } = experiment;
        let flags = args.settings(flags, &training, batch_size, &augmentations, data)?;
        settings::agree(&flags, &settings, &args.out)?;
        // The same images in another place: it is there that the next resume looks.
        settings.insert(source::SETTING.into(), serde_json::to_string(&source)?);
        let conduct = conduct.with_flags(args);
        let config: C = read_config(&checkpoint, &path)?;
        let mut trainer = Trainer::resume(&checkpoint, config.build(device)?)?;
        if let Some(policy) = args.non_finite {
            trainer = trainer.with_non_finite(policy.into());
        }
        if let Some(keep) = args.backward {
            trainer = trainer.with_gradient_memory(keep.into())?;
        }
        let done = trainer.step_count();
        if let Some(steps) = args.steps.filter(|&steps| steps < done) {
            let (given, saved) = (steps.to_string(), format!("{done} updates behind it"));
            return Err(Failure::Contradiction {
                flag: "steps",
                given,
                saved,
                out: args.out.clone(),
            });
        }
        memory::advise(trainer.config().gradient_memory);
        folder.remove_leftovers()?;
        folder.check_published()?;
        let checkpoints = match checkpoints {
            Some(checkpoints) => checkpoints.with_keep(conduct.keep)?,
            None => Checkpoints::open(folder.checkpoints(), conduct.keep)?,
        };
        if is_lost {
            complain!(
                "warning: {} holds no checkpoint of update {done}; going on from {}",
                folder.checkpoints().display(),
                path.display()
            );
            path = checkpoints.save(done, &checkpoint)?;
        }
        folder.publish(&path)?;
        say!("resumed         update {done}, {}", path.display());
        Ok(Self { folder, checkpoints, config, settings, conduct, trainer, history, saved: done })
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

    fn save(&mut self) -> Result<(), Failure> {
        let saved =
            self.checkpoints.save(self.trainer.step_count(), &self.checkpoint(Place::Checkpoints)?);
        let path = saved.map_err(|error| self.failed_save(error))?;
        self.trainer.mark_saved();
        self.saved = self.trainer.step_count();
        self.folder.publish(&path)
    }

    /// Saves. If the disk refuses, perhaps only for now, this is reported, and the run goes on.
    fn save_if_possible(&mut self) -> Result<(), Failure> {
        match self.save() {
            Err(failure) if failure.is_of_folder() => {
                let every = self.conduct.save_every;
                complain!(
                    "warning: {failure}; the run goes on, and tries again after {every} updates"
                );
                Ok(())
            }
            saved => saved,
        }
    }

    /// Saves what the run ends with, in several tries, and at last in the published file alone.
    fn save_end(&mut self) -> Result<(), Failure> {
        for pause in PAUSES {
            match self.save() {
                Err(failure) if failure.is_of_folder() => {
                    complain!("warning: {failure}; trying again in {} s", pause.as_secs());
                    sleep(pause);
                }
                saved => return saved,
            }
        }
        match self.save() {
            Err(failure) if failure.is_of_folder() => self.save_alone(&failure),
            saved => saved,
        }
    }

    /// Saves what was learned until an update failed, beside what is there.
    fn save_after_failure(&mut self) -> Result<(), Failure> {
        let added =
            self.checkpoints.add(self.trainer.step_count(), &self.checkpoint(Place::Checkpoints)?);
        let published = added
            .map_err(|error| self.failed_save(error))
            .and_then(|path| self.folder.publish(&path));
        match published {
            Err(failure) if failure.is_of_folder() => self.save_alone(&failure),
            published => published,
        }
    }

    /// Saves where the folder of checkpoints cannot.
    fn save_alone(&mut self, failure: &Failure) -> Result<(), Failure> {
        let (step, path) = (self.trainer.step_count(), self.folder.published());
        self.folder.check_published()?;
        if let Err(error) = self.checkpoint(Place::PublishedAlone)?.save(&path) {
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

    fn checkpoint(&self, place: Place) -> Result<Checkpoint, Failure> {
        let mut metadata = BTreeMap::from([
            (C::KEY.to_string(), serde_json::to_string(&self.config)?),
            (settings::KEY.to_string(), serde_json::to_string(&self.settings)?),
            (conduct::KEY.to_string(), serde_json::to_string(&self.conduct)?),
        ]);
        if place == Place::PublishedAlone {
            metadata.insert(saved::ALONE.into(), String::new());
        }
        let mut checkpoint = self.trainer.checkpoint(metadata)?;
        self.history.write(&mut checkpoint)?;
        Ok(checkpoint)
    }

    /// Trains until a limit is reached, or until a signal.
    fn train(
        &mut self,
        batches: &mut Steps<Levels>,
        data: &Split,
        device: &Device,
        signals: &Signals,
    ) -> Result<Option<Signal>, Failure> {
        let mut progress = progress::Progress::new(self.conduct);
        while !self.conduct.is_over(self.trainer.step_count(), &self.history) {
            if let Some(signal) = signals.asked() {
                return Ok(Some(signal));
            }
            let Some(x) = batches.next().transpose()? else { break };
            let update = progress::Progress::time(&mut self.history, || {
                C::Model::update(&mut self.trainer, device, x)
            })?;
            if let UpdateOutcome::Skipped(reason) | UpdateOutcome::Restored(reason) =
                &update.outcome
            {
                complain!("warning: update {} was passed over: {reason}", update.step);
            }
            self.history
                .train
                .push((update.outcome == UpdateOutcome::Done).then_some(update.bits_per_dim));
            if progress::Progress::wants_test(update.step) {
                self.test(data, device)?;
            }
            progress.clock(&mut self.history);
            progress.show(update.step, &self.history);
            if update.step.is_multiple_of(self.conduct.save_every) {
                self.save_if_possible()?;
            }
        }
        progress.finish();
        Ok(None)
    }

    /// Bits/dim of the curve's test images now. This changes nothing in the run, so a bound that is
    /// not finite does not end it: the policy is about losses and gradients.
    fn test(&mut self, data: &Split, device: &Device) -> Result<(), Failure> {
        let step = self.trainer.step_count();
        let seeds = StepSeed::new(self.trainer.config().seed);
        let _noise = Seeded::new(device, seeds.seed(step, Purpose::Evaluation));
        let test = data.test.clone().take(CURVE_IMAGES);
        let bits = match evaluate(self.trainer.average(), &test, device) {
            Ok(likelihood) => {
                Some(likelihood.bits_per_dim().value()).filter(|bits| bits.is_finite())
            }
            Err(Failure::Flow(error @ FlowError::NonFiniteLikelihood { .. })) => {
                complain!("warning: test images after update {step}: {error}");
                None
            }
            Err(failure) => return Err(failure),
        };
        self.history.test.push((step, bits));
        Ok(())
    }
}

/// Trains until a limit is reached.
pub fn train<C: ImageModelConfig>(
    experiment: Experiment<C>,
    saved: Option<Saved>,
    args: &RunArgs,
    data: &Split,
    device: &Device,
    folder: &Folder,
) -> Result<ModelRun<C::Model>, Failure> {
    let mut run = match saved {
        Some(saved) => Run::resume(saved, experiment, args, data, device, folder)?,
        None => Run::begin(experiment, args, data, device, folder)?,
    };
    let seed = run.trainer.config().seed;
    let batch_size = settings::number(&run.settings, "batch", &args.out)?;
    let augmentations: Vec<Augmentation> = match run.settings.get(AUGMENT) {
        Some(text) => serde_json::from_str(text)?,
        None => vec![], // a run from before there were any
    };
    let config = LoaderConfig::new(batch_size).with_seed(seed).with_augmentations(augmentations);
    let loader = Loader::new(data.train.clone(), ImageBatcher, config, device)?;
    let mut batches = loader.steps(run.trainer.step_count() as usize)?;
    let preset = run.settings.get("preset").map_or("", String::as_str);
    let parameters = run.trainer.model().num_params();
    say!("{} {preset}: {parameters} parameters, batches of {batch_size}", C::NAME);

    let signals = Signals::listen().map_err(|source| Failure::Signals { source })?;
    let stopped = match run.train(&mut batches, data, device, &signals) {
        Ok(stopped) => stopped,
        Err(failure) => {
            // What was learned so far is not lost with what failed, which is what the user must
            // hear of first.
            if let Err(second) = run.save_after_failure() {
                complain!("warning: the state before it could not be saved: {second}");
            }
            return Err(failure);
        }
    };
    let step = run.trainer.step_count();
    if step != run.saved {
        run.save_end()?;
    }
    // One that came in the last update or the last save is heard, too.
    if let Some(signal) = stopped.or_else(|| signals.asked()) {
        return Err(Failure::Stopped { signal, step, out: args.out.clone() });
    }
    signals.end_at_once();
    // The end of the curve is for the report alone: a run that goes on from here does not have it.
    if run.history.test.last().is_none_or(|(tested, _)| *tested != step) {
        run.test(data, device)?;
    }
    let (model, last) = (run.trainer.average().clone(), run.trainer.model().valid());
    let n_levels = run.config.n_levels();
    Ok(ModelRun { model, last, steps: step, history: run.history, batch_size, seed, n_levels })
}
