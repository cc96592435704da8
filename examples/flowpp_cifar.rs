//! Trains Flow++ on images, shows what it learned, and evaluates or samples what was trained
//! before.
//!
//! ```text
//! cargo run --release --example flowpp_cifar                      on photographs of the crate, two minutes, two cores
//! cargo run --release --example flowpp_cifar -- --help            everything else
//! ```
//! Expected last line: `report          out/flowpp_cifar/report.json`, after 600 updates, a minute
//! on two cores of an Intel Xeon; a slower machine stops after four minutes of updates.
//!
//! Ctrl-C, SIGTERM and SIGHUP end a run after its current update: it saves, says how to go on, and
//! exits with the code 128 + n, where n is the number of the signal. A second signal ends it at
//! once. A closed or full output ends no run, since its results are files. A save that fails is
//! reported and tried again. Only one run at a time uses the folder `--out`, and it deletes only
//! files with the names of its own.
//!
//! What it teaches: a preset and its overrides, and what the image examples need of a model. The
//! data-dependent start, the training loop, averaged weights, checkpoints and how a run goes on
//! after it was killed are in `image_run/training.rs`.

#[macro_use]
mod console;
mod image_run;
mod threads;

use std::process::ExitCode;

use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, FlowPlusPlus, FlowPlusPlusConfig, Preset,
};
use flowkit::{ConfigError, Mixing, ShapeError, Uninit};
use image_run::{Experiment, ImageModelConfig, RunArgs, Setting};

#[derive(Parser)]
#[command(about = "Flow++ on images: train, evaluate, sample")]
struct Args {
    /// tiny, small, or a released model: cifar10, imagenet32, imagenet64, celeba64, celeba128
    /// [default: tiny]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    preset: Option<Preset>,
    /// Noise that makes pixels numbers [default: the preset's, variational]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    dequant: Option<Dequant>,
    /// Law of the couplings [default: the preset's, mixlog]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    coupling: Option<Law>,
    /// Self-attention in the networks [default: on]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    attention: Option<Switch>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dequant {
    Uniform,
    Variational,
}

#[derive(Clone, Copy, ValueEnum)]
enum Law {
    Affine,
    Mixlog,
}

#[derive(Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// The name of a flag's value, as it is written on the command line.
fn name<T: ValueEnum>(value: T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl ImageModelConfig for FlowPlusPlusConfig {
    type Model = FlowPlusPlus;
    const KEY: &'static str = "flow_plus_plus";
    const NAME: &'static str = "Flow++";

    fn num_params(&self) -> Result<usize, ConfigError> {
        self.num_params()
    }

    fn build(&self, device: &Device) -> Result<Uninit<FlowPlusPlus>, ConfigError> {
        self.try_init(device)
    }

    fn image(&self) -> [usize; 3] {
        self.image
    }

    fn n_levels(&self) -> usize {
        self.n_levels
    }

    fn check_images(&self, shape: [usize; 3]) -> Result<(), ShapeError> {
        self.check_images(shape)
    }
}

impl Args {
    /// The preset with the paper's ablations that were asked for.
    fn experiment(&self) -> Experiment<FlowPlusPlusConfig> {
        let preset = self.preset.unwrap_or(Preset::Tiny);
        let mut config = preset.model();
        if let Some(Dequant::Uniform) = self.dequant {
            config.dequantization = DequantizationConfig::Uniform;
        }
        if let Some(Law::Affine) = self.coupling {
            config.law = CouplingLaw::Affine;
        }
        if let Some(Switch::Off) = self.attention {
            config.mixing = Mixing::Maxout;
        }
        let flags = vec![
            Setting::new("preset", self.preset, preset),
            Setting::new("dequant", self.dequant.map(name), name(Dequant::Variational)),
            Setting::new("coupling", self.coupling.map(name), name(Law::Mixlog)),
            Setting::new("attention", self.attention.map(name), name(Switch::On)),
        ];
        let (batch_size, start_size) = (preset.batch_size(), preset.start_size());
        Experiment {
            config,
            training: preset.training(),
            batch_size,
            start_size,
            augmentations: vec![],
            flags,
        }
    }
}

fn main() -> ExitCode {
    image_run::keep_memory();
    let args = Args::parse();
    image_run::report(image_run::run(&args.run, args.experiment()))
}
