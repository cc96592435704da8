//! How a run begins: anew, or from a checkpoint.

use burn::module::Module;
use flowkit::data::{Augmentation, Batches, Split};
use flowkit::train::{Checkpoint, Checkpoints, Trainer};

use super::args::{AUGMENT, RunArgs};
use super::conduct::Conduct;
use super::failure::Failure;
use super::folder::Folder;
use super::history::History;
use super::memory;
use super::model::{ImageConfig, read_config};
use super::plan::{Defaults, Plan};
use super::run::Run;
use super::saved::Saved;
use super::settings::{self, Settings};
use super::source::{self, Source};
use crate::counted::counted;
use crate::{complain, say};

/// A training before its first update.
pub struct Setup<'a, C> {
    args: &'a RunArgs,
    folder: Folder,
    /// What the run goes on from.
    saved: Option<Saved>,
    config: C,
    source: Source,
}

impl<'a, C: ImageConfig> Setup<'a, C> {
    /// A training has the folder to itself, from before it looks for checkpoints until its last
    /// file. `config` is the model of a new run.
    pub fn new(args: &'a RunArgs, mut folder: Folder, config: C) -> Result<Self, Failure> {
        folder.lock()?;
        let saved = if args.overwrite { None } else { Saved::find(&folder)? };
        if let (false, Some(saved)) = (args.resume, &saved) {
            saved.check_finished(folder.out())?;
        }
        let saved = saved.filter(|_| args.resume);
        let (config, source) = match &saved {
            Some(saved) => (read_config(&saved.checkpoint, &saved.path)?, saved.source()?),
            None => (config, None),
        };
        Ok(Self { args, folder, saved, config, source: args.source(source) })
    }

    /// The configuration of the model: that of the checkpoint, if there is one.
    pub fn config(&self) -> &C {
        &self.config
    }

    /// The checkpoint that the run goes on from.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.saved.as_ref().map(|saved| &saved.checkpoint)
    }

    /// The images of the run, in as many levels as the model has.
    pub fn images(&self) -> Result<Split, Failure> {
        self.args.images(&self.source, &self.config)
    }

    /// What the run does. The flags of a run that goes on must agree with its checkpoint.
    pub fn plan(&self, defaults: Defaults, data: &Split) -> Result<Plan, Failure> {
        let Defaults { training, batch_size, augmentations, flags } = defaults;
        let images = (data, &self.source);
        let flags = self.args.settings(flags, &training, batch_size, &augmentations, images)?;
        let training = self.args.training(training);
        let (settings, conduct) = match &self.saved {
            None => {
                training.validate()?;
                memory::advise(training.gradient_memory);
                let batch_size = self.args.batch.unwrap_or(batch_size);
                Batches::new(data.train.len(), batch_size, self.args.seed())?;
                (settings::begin(flags), Conduct::default())
            }
            Some(saved) => {
                settings::agree(&flags, &saved.settings, self.folder.out())?;
                let mut settings = saved.settings.clone();
                // The same images in another place: the next resume looks for them there.
                settings.insert(source::SETTING.into(), serde_json::to_string(&self.source)?);
                (settings, saved.conduct)
            }
        };
        let batch_size = settings::number(&settings, "batch", self.folder.out())?;
        let augmentations = augmentations_of(&settings)?;
        let conduct = conduct.with_flags(self.args);
        Ok(Plan { training, batch_size, augmentations, settings, conduct })
    }

    /// A trainer from the checkpoint, with what the command line may change in a run.
    pub fn resumed<M: Module>(&self, mut trainer: Trainer<M>) -> Result<Trainer<M>, Failure> {
        if let Some(policy) = self.args.non_finite {
            trainer = trainer.with_non_finite(policy.into());
        }
        if let Some(keep) = self.args.backward {
            trainer = trainer.with_gradient_memory(keep.into())?;
        }
        let done = trainer.step_count();
        if let Some(steps) = self.args.steps.filter(|&steps| steps < done) {
            let (given, saved) =
                (steps.to_string(), format!("{} behind it", counted(done, "update")));
            let out = self.folder.out().to_path_buf();
            return Err(Failure::Contradiction { flag: "steps", given, saved, out });
        }
        memory::advise(trainer.config().gradient_memory);
        Ok(trainer)
    }

    /// The run, after its first save if it is new. A signal that comes from here on ends it with
    /// a checkpoint.
    pub fn begin<M: Module>(
        self,
        plan: Plan,
        trainer: &mut Trainer<M>,
    ) -> Result<Run<'a, C>, Failure> {
        let Self { args, folder, saved, config, .. } = self;
        folder.remove_leftovers()?;
        folder.check_published()?;
        let open = || Checkpoints::open(folder.checkpoints(), plan.conduct.keep);
        let mut run = match saved {
            None => {
                // An earlier run in the folder ends with the first save of this one: until then a
                // resume finds the newest checkpoint of the earlier run, and from then on that of
                // this run.
                let checkpoints = open()?.replacing();
                let mut run = Run::new(args, folder, checkpoints, config, plan, History::default());
                run.save(trainer)?;
                run.folder().remove_results()?;
                run
            }
            Some(saved) => {
                let Saved { checkpoints, checkpoint, mut path, is_lost, history, .. } = saved;
                let checkpoints = match checkpoints {
                    Some(checkpoints) => checkpoints.with_keep(plan.conduct.keep)?,
                    None => open()?,
                };
                let done = trainer.step_count();
                if is_lost {
                    let (place, from) = (folder.checkpoints(), path.display().to_string());
                    let place = place.display();
                    complain!(
                        "warning: {place} holds no checkpoint of update {done}; going on from \
                         {from}"
                    );
                    path = checkpoints.save(done, &checkpoint)?;
                }
                folder.publish(&path)?;
                say!("resumed         update {done}, {}", path.display());
                Run::new(args, folder, checkpoints, config, plan, history)
            }
        };
        run.listen(trainer)?;
        Ok(run)
    }
}

/// The augmentations of a run; none, if it is from before there were any.
fn augmentations_of(settings: &Settings) -> Result<Vec<Augmentation>, Failure> {
    Ok(settings.get(AUGMENT).map_or(Ok(vec![]), |text| serde_json::from_str(text))?)
}
