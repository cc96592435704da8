//! Arguments of a program that trains on images. The folder `--out`, whose default has the
//! program's name, is the program's own.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use clap::{Args, ValueEnum};
use flowkit::data::image_folder::Labelling;
use flowkit::data::mnist::{self, ImageShape};
use flowkit::data::{self, Augmentation, Batches, Split};
use flowkit::train::{Checkpoint, EmaDecay, NonFinite, TrainerConfig};
use flowkit::{FlowError, GradientMemory};

use super::conduct::{Keep, Policy};
use super::failure::Failure;
use super::folder::Folder;
use super::model::ImageConfig;
use super::settings::{self, Setting};
use super::source::{self, Source};
use crate::{say, signals, threads};

/// Setting that says what is done to training images: a list of [`Augmentation`]s.
pub const AUGMENT: &str = "augment";

/// Flags of a program that trains on images, evaluates and samples.
#[derive(Args)]
pub struct RunArgs {
    /// A folder: CIFAR-10 binary batches, MNIST's files, or images of the model's size. Folders
    /// `train` and `test` in it are the split; without them every tenth image is held out. Needed
    /// with --eval if the run had one [default: the photographs that come with the crate, or the
    /// folder of the resumed run]
    #[arg(long, value_name = "DIR", conflicts_with = "sample")]
    pub data: Option<PathBuf>,
    /// Fetch CIFAR-10 from the network (needs `--features download`)
    #[arg(long, conflicts_with_all = ["data", "sample"])]
    pub download: bool,
    /// Where to compute; wgpu and cuda need the feature of that name
    #[arg(long, default_value = "cpu")]
    pub device: DeviceName,
    /// Updates in all, those before a resume among them [default: the resumed run's, or as many as
    /// fit in four minutes, at most 600]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    pub steps: Option<u64>,
    /// Images of one update [default: the preset's]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    pub batch: Option<usize>,
    /// What is done to training images at random [default: the preset's]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    pub augment: Option<Augment>,
    /// Learning rate after the warm-up [default: the preset's]
    #[arg(long, allow_negative_numbers = true, conflicts_with_all = ["eval", "sample"])]
    pub lr: Option<f64>,
    /// Largest decay of the averaged weights that are evaluated and sampled; 0: the last weights
    /// [default: the preset's]
    #[arg(long, value_name = "DECAY", conflicts_with_all = ["eval", "sample"])]
    pub ema: Option<f64>,
    /// Seed of all random numbers [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Continue the run in --out from its newest checkpoint and with its settings, or start one if
    /// there is none
    #[arg(long, conflicts_with_all = ["eval", "sample", "overwrite"])]
    pub resume: bool,
    /// Delete an unfinished run in --out and start a new one
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    pub overwrite: bool,
    /// Updates between two checkpoints [default: the resumed run's, or 100]
    #[arg(long, value_name = "UPDATES", conflicts_with_all = ["eval", "sample"])]
    pub save_every: Option<u64>,
    /// Newest checkpoints to keep [default: the resumed run's, or 2]
    #[arg(long, value_name = "N", conflicts_with_all = ["eval", "sample"])]
    pub keep: Option<usize>,
    /// What to do about a loss or gradient that is not finite: stop, skip the batch, or go back to
    /// the last checkpoint. May be changed by --resume, which gets a run that stopped past its
    /// batch [default: the resumed run's, or stop]
    #[arg(long, value_name = "POLICY", conflicts_with_all = ["eval", "sample"])]
    pub non_finite: Option<Policy>,
    /// What the forward pass keeps for the backward pass: less takes less memory and more time. May
    /// be changed by --resume [default: the resumed run's, or store]
    #[arg(long, value_name = "POLICY", conflicts_with_all = ["eval", "sample"])]
    pub backward: Option<Keep>,
    /// Do not train: evaluate this checkpoint, or the model of another flag, on the test images
    #[arg(long, value_name = "CHECKPOINT", num_args = 0..=1, conflicts_with = "sample")]
    pub eval: Option<Option<PathBuf>>,
    /// Importance samples of each image, with --eval
    #[arg(long, default_value_t = 1, requires = "eval")]
    pub importance_samples: usize,
    /// Do not train: sample this checkpoint, or the model of another flag
    #[arg(long, value_name = "CHECKPOINT", num_args = 0..=1)]
    pub sample: Option<Option<PathBuf>>,
    /// Spread of the samples' latents, with --sample
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, requires = "sample")]
    pub temperature: f64,
}

/// What a program does.
pub enum Task<'a> {
    /// Trains.
    Train,
    /// Evaluates a trained model: this checkpoint, or that of another flag.
    Evaluate(Option<&'a Path>),
    /// Samples a trained model: this checkpoint, or that of another flag.
    Sample(Option<&'a Path>),
}

/// Where to compute.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // clap would print them, and the names say it
pub enum DeviceName {
    Cpu,
    Wgpu,
    Cuda,
}

impl DeviceName {
    /// The flag's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }
}

/// What is done to training images at random.
#[derive(Clone, Copy, ValueEnum)]
pub enum Augment {
    /// Nothing
    None,
    /// Mirrors every other image, left to right
    Flip,
    /// Moves images by up to a tenth of each side
    Shift,
}

impl From<Augment> for Vec<Augmentation> {
    fn from(augment: Augment) -> Self {
        match augment {
            Augment::None => vec![],
            Augment::Flip => vec![Augmentation::HorizontalFlip],
            Augment::Shift => vec![Augmentation::GLOW_SHIFT],
        }
    }
}

impl RunArgs {
    /// Checks the flags, starts the threads of the CPU kernels and creates the folder `out`.
    pub fn folder(&self, out: &Path) -> Result<Folder, Failure> {
        self.validate()?;
        threads::start();
        signals::survive_large_files().map_err(|source| Failure::Signals { source })?;
        Folder::create(out)
    }

    /// Rules that clap does not know.
    fn validate(&self) -> Result<(), Failure> {
        let rule = |legal: bool, flag: &'static str, value: String, expected: &'static str| {
            if legal { Ok(()) } else { Err(Failure::Argument { flag, value, expected }) }
        };
        let positive = |value: f64| value.is_finite() && value > 0.0;
        rule(self.steps != Some(0), "steps", "0".into(), "at least 1")?;
        rule(self.batch != Some(0), "batch", "0".into(), "at least 1")?;
        rule(self.save_every != Some(0), "save-every", "0".into(), "at least 1")?;
        rule(self.keep != Some(0), "keep", "0".into(), "at least 1")?;
        rule(self.importance_samples != 0, "importance-samples", "0".into(), "at least 1")?;
        if let Some(rate) = self.lr {
            rule(positive(rate), "lr", rate.to_string(), "a positive number")?;
        }
        let temperature = self.temperature;
        rule(
            temperature == 0.0 || positive(temperature),
            "temperature",
            temperature.to_string(),
            "0 or a positive number",
        )
    }

    /// What to do.
    pub fn task(&self) -> Task<'_> {
        match (&self.sample, &self.eval) {
            (Some(checkpoint), _) => Task::Sample(checkpoint.as_deref()),
            (None, Some(checkpoint)) => Task::Evaluate(checkpoint.as_deref()),
            (None, None) => Task::Train,
        }
    }

    /// The device, tried out: burn starts a GPU at its first use and panics where there is none.
    pub fn device(&self) -> Result<Device, Failure> {
        let name = self.device.name();
        let probe = || {
            let device = match self.device {
                DeviceName::Cpu => Device::flex(),
                #[cfg(feature = "_wgpu")]
                DeviceName::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
                #[cfg(feature = "cuda")]
                DeviceName::Cuda => Device::cuda(0),
                #[allow(unreachable_patterns)]
                _ => return Err(Failure::DeviceNotBuilt { device: name }),
            };
            let sum = Tensor::<1>::ones([2], &device).sum().try_into_scalar::<f32>();
            match sum {
                Ok(2.0) => Ok(device),
                other => Err(Failure::DeviceUnusable {
                    device: name,
                    reason: format!("1 + 1 came out as {other:?}"),
                }),
            }
        };
        std::panic::catch_unwind(probe).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(Failure::DeviceUnusable { device: name, reason: text.unwrap_or_default() })
        })
    }

    /// What every random draw follows from.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(0)
    }

    /// A preset's training with what the flags change.
    pub fn training(&self, preset: TrainerConfig) -> TrainerConfig {
        let rate = self.lr.unwrap_or(preset.learning_rate);
        let ema = self.ema.map_or(preset.ema, EmaDecay::Warmed);
        let policy = self.non_finite.map_or(preset.non_finite, NonFinite::from);
        let backward = self.backward.map_or(preset.gradient_memory, GradientMemory::from);
        let training = preset.with_seed(self.seed()).with_learning_rate(rate).with_ema(ema);
        training.with_non_finite(policy).with_gradient_memory(backward)
    }

    /// The flags of an example and those here that the course of a run depends on.
    pub(super) fn settings(
        &self,
        flags: Vec<Setting>,
        training: &TrainerConfig,
        batch: usize,
        augmentations: &[Augmentation],
        (Split { train, test, .. }, source): (&Split, &Source),
    ) -> Result<Vec<Setting>, Failure> {
        let mut crc = crc32fast::Hasher::new();
        for images in [train, test] {
            (0..images.len()).for_each(|i| crc.update(images.image(i)));
        }
        let (n_train, n_test, crc) = (train.len(), test.len(), crc.finalize());
        let described =
            format!("{n_train} training and {n_test} test images with CRC-32 {crc:08x}");
        // What the flag asks for is warmed: the same decay from the beginning is another average.
        let ema = match training.ema {
            EmaDecay::Constant(decay) if decay > 0.0 => format!("{decay} from the first update on"),
            EmaDecay::Warmed(decay) | EmaDecay::Constant(decay) => decay.to_string(),
        };
        let augment =
            self.augment.map(|augment| serde_json::to_string(&Vec::from(augment))).transpose()?;
        let mut flags = flags;
        flags.extend([
            Setting::new(AUGMENT, augment, serde_json::to_string(augmentations)?),
            Setting::new("seed", self.seed, 0),
            Setting::new("batch", self.batch, batch),
            Setting::new("lr", self.lr, training.learning_rate),
            Setting::new("ema", self.ema, ema),
            Setting::new("data", Some(&described), ""),
            Setting::new(source::SETTING, None::<String>, serde_json::to_string(source)?),
        ]);
        Ok(flags)
    }

    /// Where the images come from: this command line, or else the run that is resumed, which is the
    /// user's own.
    pub fn source(&self, saved: Option<Source>) -> Source {
        match (&self.data, self.download) {
            (Some(folder), _) => Source::folder(folder),
            (None, true) => Source::Download,
            (None, false) => saved.unwrap_or(Source::Photographs),
        }
    }

    /// Where the images of an evaluation come from: those that the run of the checkpoint in the
    /// file `path` held out. A checkpoint of another program may say nothing of them. It may be
    /// somebody else's, and so chooses nothing that is outside of this program.
    pub fn evaluation_source(
        &self,
        checkpoint: &Checkpoint,
        path: &Path,
    ) -> Result<Source, Failure> {
        let saved = checkpoint.metadata(settings::KEY).map(|_| settings::read(checkpoint, path));
        let saved = saved.transpose()?.map(|saved| Source::saved(&saved, path));
        let saved = saved.transpose()?.flatten();
        let unnamed = |taken: Source, flag| Failure::Unnamed {
            path: path.to_path_buf(),
            taken: taken.to_string(),
            flag,
        };
        match saved {
            Some(taken) if self.data.is_none() && !self.download => match taken {
                Source::Photographs => Ok(taken),
                Source::Download => Err(unnamed(taken, "--download")),
                Source::Folder(_) | Source::FolderInBytes(_) => Err(unnamed(taken, "--data")),
            },
            saved => Ok(self.source(saved)),
        }
    }

    /// The images for a model, in as many levels as it has.
    pub fn images<C: ImageConfig>(&self, source: &Source, config: &C) -> Result<Split, Failure> {
        let Split { train, test, report } = self.read(source, config.image())?;
        // Whether the model takes them is known before it is built.
        config.check_images(train.shape()).map_err(FlowError::from)?;
        let n_levels = config.n_levels();
        Ok(Split { train: train.coarsened(n_levels)?, test: test.coarsened(n_levels)?, report })
    }

    /// The images for a model of shape `[C, H, W]`. Only folders of images come in the model's
    /// size.
    fn read(&self, source: &Source, shape: [usize; 3]) -> Result<Split, Failure> {
        let mut split = match (source, source.path()) {
            (_, Some(folder)) => {
                // As the user wrote it, for the messages.
                let named = self.data.as_deref().unwrap_or(folder);
                match shape {
                    [_, 32, 32] => data::read(named)?,
                    digits if digits == ImageShape::Original.shape() => {
                        mnist::read_dir(named, ImageShape::Original)?
                    }
                    [_, height, width] => {
                        let size = [height, width];
                        data::image_folder::read_dir(named, size, Labelling::Nothing)?
                    }
                }
            }
            (Source::Download, _) => download()?,
            _ => data::photographs(),
        };
        let in_order = source.path().is_some_and(|folder| folder.join("test_batch.bin").exists());
        if !matches!(source, Source::Photographs) && !in_order {
            // Folders may be sorted by class, and a part of the test images must not be of one
            // class.
            let order = Batches::new(split.test.len(), split.test.len(), 0)?.indices(0);
            split.test = split.test.select(&order);
        }
        say!("data: {} training and {} test images", split.train.len(), split.test.len());
        if !split.report.is_empty() {
            split.report.to_string().lines().for_each(|line| say!("data: {line}"));
        }
        Ok(split)
    }
}

#[cfg(feature = "download")]
fn download() -> Result<Split, Failure> {
    Ok(data::download::cifar10()?)
}

#[cfg(not(feature = "download"))]
fn download() -> Result<Split, Failure> {
    Err(Failure::DownloadNotBuilt)
}
