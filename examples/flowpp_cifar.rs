//! Trains Flow++ on images, shows what it learned, and evaluates or samples what was trained before.
//!
//! ```text
//! cargo run --release --example flowpp_cifar                      photographs that come with the crate, a few minutes on two cores
//! cargo run --release --example flowpp_cifar -- --help            everything else
//! ```
//! Expected last line: `report          out/flowpp_cifar/report.json`, after 4.5 minutes, which are the same on any machine: a faster one
//! takes more updates (330 on two cores of an Intel Xeon).
//!
//! What it teaches: a preset and its overrides, the data-dependent start, the training loop, averaged weights for evaluation and samples,
//! the importance-weighted bound, and checkpoints.

mod image_run;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use burn::module::Module;
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use flowkit::data::{Batches, Split};
use flowkit::model::flow_plus_plus::{CouplingLaw, DequantizationConfig, FlowPlusPlus, FlowPlusPlusConfig, Preset};
use flowkit::train::{Checkpoint, EmaDecay, Purpose, StepSeed, Trainer};
use flowkit::{FlowError, Mixing};
use image_run::{Curve, Failure, Folder, ModelRun, Progress, RunArgs, evaluate, evaluate_importance_weighted};

image_run::keep_memory!();

#[derive(Parser)]
#[command(about = "Flow++ on images: train, evaluate, sample")]
struct Args {
    /// tiny, small, or a released model: cifar10, imagenet32, imagenet64, celeba64, celeba128
    #[arg(long, default_value = "tiny", conflicts_with_all = ["eval", "sample"])]
    preset: Preset,
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

/// Key of the model's configuration in a checkpoint.
const CONFIG: &str = "flow_plus_plus";

/// Updates between two checkpoints.
const SAVE_EVERY: u64 = 100;

/// The preset's model with the paper's ablations that were asked for.
fn configure(args: &Args) -> FlowPlusPlusConfig {
    let mut config = args.preset.model();
    if let Some(Dequant::Uniform) = args.dequant {
        config.dequantization = DequantizationConfig::Uniform;
    }
    if let Some(Law::Affine) = args.coupling {
        config.law = CouplingLaw::Affine;
    }
    if let Some(Switch::Off) = args.attention {
        config.mixing = Mixing::Maxout;
    }
    config
}

/// The data in as many levels as the model knows, or why the model cannot take it.
fn fit(config: &FlowPlusPlusConfig, data: Split) -> Result<Split, Failure> {
    config.check_images(data.train.shape()).map_err(FlowError::from)?;
    Ok(Split { train: data.train.coarsened(config.n_levels)?, test: data.test.coarsened(config.n_levels)? })
}

/// The averaged model of a checkpoint, without gradients.
fn load(path: &PathBuf, device: &Device) -> Result<(FlowPlusPlus, FlowPlusPlusConfig), Failure> {
    let checkpoint = Checkpoint::load(path)?;
    let text = checkpoint.metadata(CONFIG).ok_or_else(|| Failure::OtherModel { path: path.clone() })?;
    let config: FlowPlusPlusConfig =
        serde_json::from_str(text).map_err(|source| Failure::Config { path: path.clone(), source })?;
    let model = config.try_init(&device.clone().inner())?;
    Ok((Trainer::load_average(&checkpoint, model)?, config))
}

fn train(
    args: &Args,
    config: &FlowPlusPlusConfig,
    data: &Split,
    device: &Device,
    folder: &Folder,
) -> Result<ModelRun, Failure> {
    let mut training = args.preset.training().with_seed(args.run.seed);
    if let Some(rate) = args.run.lr {
        training = training.with_learning_rate(rate);
    }
    if let Some(decay) = args.run.ema {
        training = training.with_ema(EmaDecay::Warmed(decay));
    }
    let batch_size = args.run.batch.unwrap_or(args.preset.batch_size());
    let batches = Batches::new(data.train.len(), batch_size, args.run.seed)?;
    let seeds = StepSeed::new(args.run.seed);

    device.seed(seeds.seed(0, Purpose::Initialization));
    let start_size = args.preset.start_size().min(data.train.len());
    let first = Batches::new(data.train.len(), start_size, args.run.seed)?.indices(0);
    let model = config.try_init(device)?.initialize(data.train.batch(&first, device))?;
    println!("Flow++ {}: {} parameters, batches of {batch_size}", args.preset, model.num_params());
    let mut trainer = Trainer::new(model, training)?;

    let limit = args.run.limit();
    let mut progress = Progress::new(limit);
    let path = folder.path("checkpoint.safetensors");
    let metadata = BTreeMap::from([(CONFIG.to_string(), serde_json::to_string(config)?)]);
    let mut curve = Curve::default();
    while !limit.reached(trainer.step_count(), progress.elapsed()) {
        let x = data.train.batch(&batches.indices(trainer.step_count() as usize), device);
        let update = match progress.time(|| trainer.update(device, |model| model.loss::<4>(x))) {
            Ok(update) => update,
            Err(error) => {
                // What was learned so far is not lost with the update that failed.
                trainer.save(&path, metadata)?;
                return Err(error.into());
            }
        };
        if update.step.is_multiple_of(SAVE_EVERY) {
            trainer.save(&path, metadata.clone())?;
        }
        curve.train.push(update.bits_per_dim);
        if progress.wants_test(update.step) {
            device.seed(seeds.seed(update.step, Purpose::Evaluation));
            let test = data.test.clone().take(32);
            curve.test.push((update.step, evaluate(trainer.average(), &test, device)?.bits_per_dim().value()));
        }
        progress.show(update.step, &curve);
    }
    let seconds = progress.finish();
    trainer.save(&path, metadata)?;
    let last = trainer.model().valid();
    Ok(ModelRun { model: trainer.average().clone(), last: Some(last), curve, seconds, batch_size })
}

fn run(args: &Args) -> Result<(), Failure> {
    args.run.validate()?;
    let folder = Folder::create(&args.run.out)?;
    let device = args.run.device()?;
    let seeds = StepSeed::new(args.run.seed);
    if let Some(path) = &args.run.sample {
        let (model, _) = load(path, &device)?;
        device.seed(seeds.seed(0, Purpose::Sampling));
        return folder.write_samples(&model, args.run.temperature);
    }
    if let Some(path) = &args.run.eval {
        let (model, config) = load(path, &device)?;
        let data = fit(&config, args.run.read(config.image)?)?;
        device.seed(seeds.seed(0, Purpose::Evaluation));
        let bits = evaluate_importance_weighted(&model, &data.test, args.run.importance_samples, &device)?;
        println!("test {bits}");
        return folder.write_evaluation(&bits, data.test.len());
    }
    let config = configure(args);
    let data = fit(&config, args.run.read(config.image)?)?;
    let trained = train(args, &config, &data, &device.clone().autodiff(), &folder)?;
    folder.write_all(&trained, &data, args.run.seed, &args.run, &device)
}

fn main() -> ExitCode {
    keep_memory();
    image_run::report(run(&Args::parse()))
}
