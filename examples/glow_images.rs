//! Trains Glow on images, shows what it learned, and evaluates or samples what was trained before.
//!
//! ```text
//! cargo run --release --example glow_images                       photographs that come with the crate, a few minutes on two cores
//! cargo run --release --example glow_images -- --help             everything else
//! ```
//! Expected last line: `report          out/glow_images/report.json`, after 600 updates, three
//! minutes on two cores of an Intel Xeon; a slower machine stops after four minutes of updates.
//!
//! What it teaches: a second model behind the training loop of `flowpp_cifar`, images of fewer
//! bits, and samples at a lower temperature (`--sample CHECKPOINT --temperature 0.7`), which
//! multiplies the latents of every scale.

#[macro_use]
mod console;
mod image_run;
mod threads;

use std::process::ExitCode;

use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use flowkit::model::glow::{Glow, GlowConfig, GlowCoupling, GlowPermutation, GlowPrior, Preset};
use flowkit::{ConfigError, ShapeError, Uninit};
use image_run::{Experiment, ImageModelConfig, RunArgs, Setting};

#[derive(Parser)]
#[command(about = "Glow on images: train, evaluate, sample")]
struct Args {
    /// tiny, small, or a model of the paper: cifar10, cifar10-additive, imagenet32, imagenet64,
    /// lsun64, celeba-hq256 [default: tiny]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    preset: Option<Preset>,
    /// What the couplings do [default: the preset's]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    coupling: Option<Coupling>,
    /// How channels are mixed between couplings [default: the preset's]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    permutation: Option<Mixing>,
    /// Distribution of the latents [default: learned]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    prior: Option<Prior>,
    /// Bits of a pixel, 1 to 8 [default: the preset's]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    bits: Option<usize>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Coupling {
    Additive,
    Affine,
    Bounded,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mixing {
    Matrix,
    Plu,
    Reverse,
    Shuffle,
}

#[derive(Clone, Copy, ValueEnum)]
enum Prior {
    Standard,
    Learned,
}

/// The name of a flag's value, as it is written on the command line.
fn name<T: ValueEnum>(value: T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl ImageModelConfig for GlowConfig {
    type Model = Glow;
    const KEY: &'static str = "glow";
    const NAME: &'static str = "Glow";

    fn num_params(&self) -> Result<usize, ConfigError> {
        self.num_params()
    }

    fn build(&self, device: &Device) -> Result<Uninit<Glow>, ConfigError> {
        self.try_init(device)
    }

    fn image(&self) -> [usize; 3] {
        self.image
    }

    fn n_levels(&self) -> usize {
        1 << self.n_bits
    }

    fn check_images(&self, shape: [usize; 3]) -> Result<(), ShapeError> {
        self.check_images(shape)
    }
}

impl Args {
    /// The preset with what was asked for in the place of its own.
    fn experiment(&self) -> Result<Experiment<GlowConfig>, ConfigError> {
        let preset = self.preset.unwrap_or(Preset::Tiny);
        let own = preset.model();
        let config = GlowConfig {
            n_bits: self.bits.unwrap_or(own.n_bits),
            coupling: match self.coupling {
                Some(Coupling::Additive) => GlowCoupling::Additive,
                Some(Coupling::Affine) => GlowCoupling::Affine,
                Some(Coupling::Bounded) => GlowCoupling::Bounded,
                None => own.coupling,
            },
            permutation: match self.permutation {
                Some(Mixing::Matrix) => GlowPermutation::Matrix,
                Some(Mixing::Plu) => GlowPermutation::Plu,
                Some(Mixing::Reverse) => GlowPermutation::Reverse,
                Some(Mixing::Shuffle) => GlowPermutation::Shuffle { seed: self.run.seed() },
                None => own.permutation,
            },
            prior: match self.prior {
                Some(Prior::Standard) => GlowPrior::Standard,
                Some(Prior::Learned) => GlowPrior::Learned,
                None => own.prior,
            },
            ..own.clone()
        };
        config.validate()?;
        // What the presets have.
        let coupling = match own.coupling {
            GlowCoupling::Additive => Coupling::Additive,
            GlowCoupling::Affine => Coupling::Affine,
            GlowCoupling::Bounded => Coupling::Bounded,
        };
        let mixing =
            if own.permutation == GlowPermutation::Plu { Mixing::Plu } else { Mixing::Matrix };
        let flags = vec![
            Setting::new("preset", self.preset, preset),
            Setting::new("coupling", self.coupling.map(name), name(coupling)),
            Setting::new("permutation", self.permutation.map(name), name(mixing)),
            Setting::new("prior", self.prior.map(name), name(Prior::Learned)),
            Setting::new("bits", self.bits, own.n_bits),
        ];
        let (training, augmentations) = (preset.training(), preset.augmentations());
        let (batch_size, start_size) = (preset.batch_size(), preset.start_size());
        Ok(Experiment { config, training, batch_size, start_size, augmentations, flags })
    }
}

fn main() -> ExitCode {
    image_run::keep_memory();
    let args = Args::parse();
    let experiment = args.experiment().map_err(image_run::Failure::from);
    image_run::report(experiment.and_then(|experiment| image_run::run(&args.run, experiment)))
}
