//! Arguments of the image examples.

use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use clap::{Args, ValueEnum};
use flowkit::data::{self, Batches, Split};

use super::failure::Failure;

#[derive(Args)]
pub struct RunArgs {
    /// CIFAR-10 binary batches, or a folder of images of the model's size [default: the photographs that come with the crate]
    #[arg(long, value_name = "DIR", conflicts_with = "sample")]
    pub data: Option<PathBuf>,
    /// Fetch CIFAR-10 from the network (needs `--features download`)
    #[arg(long, conflicts_with_all = ["data", "sample"])]
    pub download: bool,
    /// Where to compute; wgpu and cuda need the feature of that name
    #[arg(long, default_value = "cpu")]
    pub device: DeviceName,
    /// Updates [default: as many as fit in four minutes, at most 600]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    pub steps: Option<u64>,
    /// Images of one update [default: the preset's]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    pub batch: Option<usize>,
    /// Learning rate after the warm-up [default: the preset's]
    #[arg(long, allow_negative_numbers = true, conflicts_with_all = ["eval", "sample"])]
    pub lr: Option<f64>,
    /// Largest decay of the averaged weights that are evaluated and sampled; 0: the last weights [default: the preset's]
    #[arg(long, value_name = "DECAY", conflicts_with_all = ["eval", "sample"])]
    pub ema: Option<f64>,
    /// Every random draw follows from it
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Do not train: evaluate this checkpoint on the test images
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "sample")]
    pub eval: Option<PathBuf>,
    /// Importance samples of each image, with --eval
    #[arg(long, default_value_t = 1, requires = "eval")]
    pub importance_samples: usize,
    /// Do not train: sample this checkpoint
    #[arg(long, value_name = "CHECKPOINT")]
    pub sample: Option<PathBuf>,
    /// Spread of the samples' latents, with --sample
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, requires = "sample")]
    pub temperature: f64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/flowpp_cifar")]
    pub out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    Cpu,
    Wgpu,
    Cuda,
}

impl DeviceName {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }
}

/// When a run ends.
#[derive(Clone, Copy)]
pub struct Limit {
    pub steps: u64,
    pub time: Option<Duration>,
}

impl Limit {
    pub fn reached(self, step: u64, elapsed: Duration) -> bool {
        step >= self.steps || self.time.is_some_and(|time| elapsed >= time)
    }
}

impl RunArgs {
    /// Rules that clap does not know.
    pub fn validate(&self) -> Result<(), Failure> {
        let rule = |legal: bool, flag: &'static str, value: String, expected: &'static str| {
            if legal { Ok(()) } else { Err(Failure::Argument { flag, value, expected }) }
        };
        let positive = |value: f64| value.is_finite() && value > 0.0;
        rule(self.steps != Some(0), "steps", "0".into(), "at least 1")?;
        rule(self.batch != Some(0), "batch", "0".into(), "at least 1")?;
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

    pub fn limit(&self) -> Limit {
        match self.steps {
            Some(steps) => Limit { steps, time: None },
            None => Limit { steps: 600, time: Some(Duration::from_secs(240)) },
        }
    }

    /// The device, tried out: burn starts a GPU at its first use and panics where there is none.
    pub fn device(&self) -> Result<Device, Failure> {
        let name = self.device.name();
        let probe = || {
            let device = match self.device {
                DeviceName::Cpu => Device::flex(),
                #[cfg(feature = "wgpu")]
                DeviceName::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
                #[cfg(feature = "cuda")]
                DeviceName::Cuda => Device::cuda(0),
                #[allow(unreachable_patterns)]
                _ => return Err(Failure::DeviceNotBuilt { device: name }),
            };
            let sum = Tensor::<1>::ones([2], &device).sum().try_into_scalar::<f32>();
            match sum {
                Ok(2.0) => Ok(device),
                other => Err(Failure::DeviceUnusable { device: name, reason: format!("1 + 1 came out as {other:?}") }),
            }
        };
        std::panic::catch_unwind(probe).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(Failure::DeviceUnusable { device: name, reason: text.unwrap_or_default() })
        })
    }

    /// The data, for a model of images of shape `[C, H, W]`. Only folders of images come in its size.
    pub fn read(&self, [_, height, width]: [usize; 3]) -> Result<Split, Failure> {
        let split = match &self.data {
            Some(folder) if [height, width] != [32, 32] => data::image_folder::read_dir(folder, [height, width])?,
            Some(folder) => data::read(folder)?,
            None if self.download => download()?,
            None => data::photographs(),
        };
        let mut split = split;
        let shuffled = self.data.as_ref().is_some_and(|folder| folder.join("test_batch.bin").exists());
        if !shuffled && self.data.is_some() || self.download {
            // Folders may be sorted by class, and a part of the test images must not be of one class.
            let order = Batches::new(split.test.len(), split.test.len(), 0)?.indices(0);
            split.test = split.test.select(&order);
        }
        println!("data: {} training and {} test images", split.train.len(), split.test.len());
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
