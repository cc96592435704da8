//! The training loop of the image examples, and how a run is begun or taken up again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use flowkit::data::{Augmentation, Batches, ImageBatcher, Loader, LoaderConfig, Split};
use flowkit::random::Seeded;
use flowkit::train::{Checkpoint, Checkpoints, Outcome, Purpose, StepSeed, Trainer, TrainerConfig};

use super::args::{AUGMENT, RunArgs, SOURCE};
use super::conduct::{self, Conduct};
use super::evaluate;
use super::failure::Failure;
use super::folder::{Folder, ModelRun};
use super::history::History;
use super::memory;
use super::model::{ImageModel, ImageModelConfig};
use super::progress::Progress;
use super::settings::{self, Setting, Settings};

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

/// The checkpoint that a run goes on from.
pub struct Saved {
    checkpoints: Checkpoints,
    checkpoint: Checkpoint,
    step: u64,
    path: PathBuf,
    pub settings: Settings,
    conduct: Conduct,
}

impl Saved {
    /// The newest readable checkpoint of a folder, if there is one.
    pub fn find(folder: &Folder) -> Result<Option<Self>, Failure> {
        let place = folder.checkpoints();
        if !place.exists() {
            return Ok(None);
        }
        // How many are to be kept is known from the checkpoint.
        let checkpoints = Checkpoints::open(place, 1)?;
        let Some(latest) = checkpoints.latest()? else { return Ok(None) };
        for damage in &latest.damaged {
            eprintln!("warning: {damage}; going on from update {}", latest.step);
        }
        let path = checkpoints.path(latest.step);
        let settings = settings::read(&latest.checkpoint, &path)?;
        let conduct = Conduct::read(&latest.checkpoint, &path)?;
        Ok(Some(Self { checkpoints, checkpoint: latest.checkpoint, step: latest.step, path, settings, conduct }))
    }

    /// An error if the run has not reached its end.
    pub fn check_finished(&self, out: &Path) -> Result<(), Failure> {
        if self.conduct.is_over(self.step, &History::read(&self.checkpoint, &self.path)?) {
            return Ok(());
        }
        let of = self.conduct.time.is_none().then_some(self.conduct.steps);
        Err(Failure::Unfinished { out: out.to_path_buf(), done: self.step, of })
    }

    /// The configuration of its model.
    pub fn config<C: ImageModelConfig>(&self) -> Result<C, Failure> {
        read_config(&self.checkpoint, &self.path)
    }
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
        let Experiment { config, training, batch_size, start_size, augmentations, flags } = experiment;
        let settings = settings::begin(args.settings(flags, &training, batch_size, &augmentations, split)?);
        let conduct = Conduct::default().with_flags(args);
        let data = &split.train;
        let seed = args.seed();
        let training = args.training(training);
        training.validate()?;
        Batches::new(data.len(), args.batch.unwrap_or(batch_size), seed)?;
        device.seed(StepSeed::new(seed).seed(0, Purpose::Initialization));
        let first = Batches::new(data.len(), start_size.min(data.len()), seed)?.indices(0);
        let model = C::Model::initialize(config.build(device)?, data.batch(&first, device))?;
        let trainer = Trainer::new(model, training)?;
        folder.remove_leftovers()?;
        let place = folder.checkpoints();
        // What an earlier run left in the folder ends here, so that a resume cannot take it for this run, unless a process writes there.
        drop(Checkpoints::open(&place, conduct.keep)?);
        folder.remove_checkpoints()?;
        let checkpoints = Checkpoints::open(&place, conduct.keep)?;
        let mut run = Self { folder, checkpoints, config, settings, conduct, trainer, history: History::default() };
        run.save()?;
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
        let Saved { checkpoints, checkpoint, path, mut settings, conduct, .. } = saved;
        let Experiment { training, batch_size, augmentations, flags, .. } = experiment;
        let flags = args.settings(flags, &training, batch_size, &augmentations, data)?;
        settings::agree(&flags, &settings, &args.out)?;
        // The same images in another place: it is there that the next resume looks.
        settings.insert(SOURCE.into(), args.source(Some(&settings)));
        let conduct = conduct.with_flags(args);
        let checkpoints = checkpoints.with_keep(conduct.keep)?;
        let config: C = read_config(&checkpoint, &path)?;
        let mut trainer = Trainer::resume(&checkpoint, config.build(device)?)?;
        if let Some(policy) = args.non_finite {
            trainer = trainer.with_non_finite(policy.into());
        }
        if let Some(keep) = args.backward {
            trainer = trainer.with_backward(keep.into())?;
        }
        let done = trainer.step_count();
        if let Some(steps) = args.steps.filter(|&steps| steps < done) {
            let (given, saved) = (steps.to_string(), format!("{done} updates behind it"));
            return Err(Failure::Contradiction { flag: "steps", given, saved, out: args.out.clone() });
        }
        folder.remove_leftovers()?;
        folder.publish(&path)?;
        println!("resumed         update {done}, {}", path.display());
        let history = History::read(&checkpoint, &path)?;
        Ok(Self { folder, checkpoints, config, settings, conduct, trainer, history })
    }

    fn save(&mut self) -> Result<(), Failure> {
        let path = self.checkpoints.save(self.trainer.step_count(), &self.checkpoint()?)?;
        self.trainer.mark_saved();
        self.folder.publish(&path)
    }

    /// Saves what was learned until an update failed, beside what is there.
    fn save_after_failure(&self) -> Result<(), Failure> {
        let path = self.checkpoints.add(self.trainer.step_count(), &self.checkpoint()?)?;
        self.folder.publish(&path)
    }

    fn checkpoint(&self) -> Result<Checkpoint, Failure> {
        let metadata = BTreeMap::from([
            (C::KEY.to_string(), serde_json::to_string(&self.config)?),
            (settings::KEY.to_string(), serde_json::to_string(&self.settings)?),
            (conduct::KEY.to_string(), serde_json::to_string(&self.conduct)?),
        ]);
        let mut checkpoint = self.trainer.checkpoint(metadata)?;
        self.history.write(&mut checkpoint)?;
        Ok(checkpoint)
    }

    /// Bits/dim of the curve's test images now.
    fn test(&mut self, data: &Split, device: &Device) -> Result<(), Failure> {
        let step = self.trainer.step_count();
        let seeds = StepSeed::new(self.trainer.config().seed);
        let _noise = Seeded::new(device, seeds.seed(step, Purpose::Evaluation));
        let test = data.test.clone().take(CURVE_IMAGES);
        let bits = evaluate(self.trainer.average(), &test, device)?.bits_per_dim().value();
        self.history.test.push((step, bits.is_finite().then_some(bits)));
        Ok(())
    }
}

/// The configuration of the model in a checkpoint, valid and of as many parameters as the checkpoint holds.
pub fn read_config<C: ImageModelConfig>(checkpoint: &Checkpoint, path: &Path) -> Result<C, Failure> {
    let other = || Failure::OtherModel { path: path.to_path_buf(), name: C::NAME };
    let text = checkpoint.metadata(C::KEY).ok_or_else(other)?;
    let config: C =
        serde_json::from_str(text).map_err(|source| Failure::Config { path: path.to_path_buf(), source })?;
    checkpoint.expect_params("average", config.num_params()?)?;
    Ok(config)
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
    memory::advise(run.trainer.config().backward);
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
    println!("{} {preset}: {parameters} parameters, batches of {batch_size}", C::NAME);

    let mut progress = Progress::new(run.conduct);
    let mut saved_at = run.trainer.step_count();
    while !run.conduct.is_over(run.trainer.step_count(), &run.history)
        && let Some(x) = batches.next().transpose()?
    {
        let update = match Progress::time(&mut run.history, || C::Model::update(&mut run.trainer, device, x)) {
            Ok(update) => update,
            Err(error) => {
                // What was learned so far is not lost with the update that failed, which is what the user must hear of first.
                if let Err(second) = run.save_after_failure() {
                    eprintln!("warning: nor could the state before it be saved: {second}");
                }
                return Err(error.into());
            }
        };
        if let Outcome::Skipped(reason) | Outcome::Restored(reason) = &update.outcome {
            eprintln!("warning: update {} was passed over: {reason}", update.step);
        }
        run.history.train.push((update.outcome == Outcome::Done).then_some(update.bits_per_dim));
        if Progress::wants_test(update.step) {
            run.test(data, device)?;
        }
        progress.clock(&mut run.history);
        progress.show(update.step, &run.history);
        if update.step.is_multiple_of(run.conduct.save_every) {
            run.save()?;
            saved_at = update.step;
        }
    }
    progress.finish();
    if run.trainer.step_count() != saved_at {
        run.save()?;
    }
    // The end of the curve is for the report alone: a run that goes on from here does not have it.
    if run.history.test.last().is_none_or(|(step, _)| *step != run.trainer.step_count()) {
        run.test(data, device)?;
    }
    let (model, last) = (run.trainer.average().clone(), run.trainer.model().valid());
    let (steps, n_levels) = (run.trainer.step_count(), run.config.n_levels());
    Ok(ModelRun { model, last, steps, history: run.history, batch_size, seed, n_levels })
}
