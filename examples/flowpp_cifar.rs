//! Trains Flow++ on images, shows what it learned, and evaluates or samples what was trained
//! before.
//!
//! ```text
//! # photographs that come with the crate, two minutes on two cores
//! cargo run --release --example flowpp_cifar
//! # everything else
//! cargo run --release --example flowpp_cifar -- --help
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
//! What it teaches: a preset and its overrides, data-dependent initialisation, the training loop
//! over a `Trainer` with checkpoints, evaluation on held-out images with averaged weights. Flags,
//! files and pictures are the business of `flowkit_runs`, in `examples/runs`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::module::Module;
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use flowkit::data::{Batches, ImageBatcher, Images, Loader, LoaderConfig, Split, Steps};
use flowkit::flow::likelihood::OneSampleBound;
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, FlowPlusPlus, FlowPlusPlusConfig, FlowPlusPlusPreset,
    authors,
};
use flowkit::random::Seeded;
use flowkit::train::{Checkpoint, NegativeLogLikelihood, Purpose, StepSeed, Trainer};
use flowkit::{BitsPerDim, Density, Mixing};
use flowkit_runs::image::{
    Defaults, Failure, Folder, Levels, Run, RunArgs, Setting, Setup, Task, likelihood,
    likelihood_shown, read_config, write_evaluation, write_samples,
};
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::{image, say, value_name};

/// Large buffers are allocated and freed at every step, which this allocator does fastest.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Flow++ on images: train, evaluate, sample")]
struct Args {
    /// tiny, small, digits, or a released model: cifar10, imagenet32, imagenet64, celeba64,
    /// celeba128 [default: tiny]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    preset: Option<FlowPlusPlusPreset>,
    /// Noise that makes pixels numbers [default: the preset's, variational]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    dequant: Option<Dequant>,
    /// Law of the couplings [default: the preset's, mixlog]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    coupling: Option<Law>,
    /// Self-attention in the networks [default: on]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    attention: Option<Switch>,
    /// With --eval and --sample: weights of the authors of Flow++, such as
    /// flowpp_cifar_model.npz, or of another model in that format
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// With --eval and --sample: the model of MNIST's digits that comes with this program
    #[arg(long)]
    pretrained: bool,
    /// With --eval and --sample: write the weights to this file, in the format of the authors if it
    /// ends in .npz, or else as a checkpoint in half precision
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
    /// Where to write. A new run takes the place of one that is finished
    #[arg(long, value_name = "DIR", default_value = "out/flowpp_cifar")]
    out: PathBuf,
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

/// Test images of the learning curve, and those of the final number.
const CURVE_IMAGES: usize = 32;
const TEST_IMAGES: usize = 256;

fn main() -> ExitCode {
    memory::keep();
    let args = Args::parse();
    image::report(run(&args))
}

fn run(args: &Args) -> Result<(), Failure> {
    let folder = args.run.folder(&args.out)?;
    let device = args.run.device()?;
    match args.run.task() {
        Task::Sample(checkpoint) => sample(args, checkpoint, &folder, &device),
        Task::Evaluate(checkpoint) => evaluate(args, checkpoint, &folder, &device),
        Task::Train => {
            let flags = [
                ("weights", args.weights.is_some()),
                ("pretrained", args.pretrained),
                ("export", args.export.is_some()),
            ];
            if let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) {
                return Err(Failure::NotForTraining { flag });
            }
            train(args, folder, &device)
        }
    }
}

/// The model of the preset, with the ablations of the paper that the command line asks for.
fn model(args: &Args, preset: FlowPlusPlusPreset) -> FlowPlusPlusConfig {
    let mut config = preset.model();
    if let Some(Dequant::Uniform) = args.dequant {
        config.dequantization = DequantizationConfig::Uniform;
    }
    if let Some(Law::Affine) = args.coupling {
        config.law = CouplingLaw::Affine;
    }
    if let Some(Switch::Off) = args.attention {
        config.mixing = Mixing::PositionwiseMaxout;
    }
    config
}

/// What holds where the command line says nothing, and what a resumed run must agree with.
fn defaults(args: &Args, preset: FlowPlusPlusPreset) -> Defaults {
    let flags = vec![
        Setting::new("preset", args.preset, preset),
        Setting::new("dequant", args.dequant.map(value_name), value_name(Dequant::Variational)),
        Setting::new("coupling", args.coupling.map(value_name), value_name(Law::Mixlog)),
        Setting::new("attention", args.attention.map(value_name), value_name(Switch::On)),
    ];
    let (training, batch_size) = (preset.training(), preset.batch_size());
    Defaults { training, batch_size, augmentations: vec![], flags }
}

fn train(args: &Args, folder: Folder, device: &Device) -> Result<(), Failure> {
    let device = device.clone().autodiff();
    let preset = args.preset.unwrap_or(FlowPlusPlusPreset::Tiny);
    // With `--resume`, model, settings and history come from the newest checkpoint of the folder.
    let setup = Setup::new(&args.run, folder, model(args, preset))?;
    let data = setup.images()?;
    let plan = setup.plan(defaults(args, preset), &data)?;

    let config = setup.config();
    let mut trainer = match setup.checkpoint() {
        // Weights, their averages, the optimizer's moments and the step count.
        Some(checkpoint) => setup.resumed(Trainer::resume(checkpoint, config.build(&device)?)?)?,
        // A new flow is initialised from data: its first layers normalise what they see.
        None => {
            let (seed, n) = (args.run.seed(), data.train.len());
            device.seed(StepSeed::new(seed).seed(0, Purpose::Initialization));
            let first = Batches::new(n, preset.start_size().min(n), seed)?.indices(0);
            let first = data.train.batch(&first, &device);
            let flow = config.build(&device)?.initialize(first)?;
            Trainer::new(flow, plan.training.clone())?
        }
    };
    // The batch of an update follows from the seed and the number of the update, so that a resumed
    // run is the run that never stopped.
    let loading = LoaderConfig::new(plan.batch_size)
        .with_seed(trainer.config().seed)
        .with_augmentations(plan.augmentations.clone());
    let loader = Loader::new(data.train.clone(), ImageBatcher, loading, &device)?;
    let mut batches = loader.steps(trainer.step_count() as usize)?;

    let mut run = setup.begin(plan, &mut trainer)?;
    let learned = updates(&mut run, &mut trainer, &mut batches, &data, &device);
    // The last checkpoint, also after an error; if a signal ended the loop, how to go on.
    run.end(&mut trainer, learned)?;

    let step = trainer.step_count();
    if !run.is_tested(step) {
        let test = data.test.clone().take(CURVE_IMAGES);
        run.record_test(step, held_out(&trainer, trainer.average(), &test, &device))?;
    }
    results(&run, &trainer, &data, &device)
}

/// The training loop: maximum likelihood, until the limit of updates or time, or a signal.
fn updates(
    run: &mut Run<FlowPlusPlusConfig>,
    trainer: &mut Trainer<FlowPlusPlus>,
    batches: &mut Steps<Levels>,
    data: &Split,
    device: &Device,
) -> Result<(), Failure> {
    let test = data.test.clone().take(CURVE_IMAGES);
    while run.goes_on(trainer) {
        let Some(x) = batches.next().transpose()? else { break };
        let update = run.timed(|| trainer.update_on(device, &NegativeLogLikelihood::new(x)))?;
        run.record(&update);
        if run.wants_test(update.step) {
            run.record_test(update.step, held_out(trainer, trainer.average(), &test, device))?;
        }
        run.save_when_due(trainer)?;
    }
    Ok(())
}

/// Bits/dim of images, with noise that follows from the seed and the number of updates.
fn held_out(
    trainer: &Trainer<FlowPlusPlus>,
    flow: &FlowPlusPlus,
    images: &Images,
    device: &Device,
) -> Result<BitsPerDim<OneSampleBound>, Failure> {
    let seeds = StepSeed::new(trainer.config().seed);
    let _noise = Seeded::new(device, seeds.seed(trainer.step_count(), Purpose::Evaluation));
    Ok(likelihood(images, device, |x| flow.evaluate(x))?.bits_per_dim())
}

/// Evaluates what was learned, and writes pictures, curve and report.
fn results(
    run: &Run<FlowPlusPlusConfig>,
    trainer: &Trainer<FlowPlusPlus>,
    data: &Split,
    device: &Device,
) -> Result<(), Failure> {
    // The averaged weights are the result; the last ones are for comparison.
    let (flow, last) = (trainer.average(), trainer.model().valid());
    let mut results = run.results(trainer);
    let test = data.test.clone().take(TEST_IMAGES);
    let bits = held_out(trainer, flow, &test, device);
    results.held_out(&test, bits, held_out(trainer, &last, &test, device));

    // Data to latents and back.
    let shown: Vec<usize> = (0..data.test.len().min(16)).collect();
    let shown = data.test.batch(&shown, &device.clone().inner());
    let rebuilt = results.of("round trip", flow.round_trip(shown.clone()));

    let seeds = StepSeed::new(trainer.config().seed);
    device.seed(seeds.seed(trainer.step_count(), Purpose::Sampling));
    results.samples(|n| flow.sample(n));
    results.reconstructions(shown, rebuilt);
    results.write()
}

/// A model that was trained before, with its configuration, and its checkpoint where it has one.
struct Trained {
    flow: FlowPlusPlus,
    config: FlowPlusPlusConfig,
    checkpoint: Option<Checkpoint>,
}

/// The model that the flags name, with averaged weights and outside any graph.
fn trained(args: &Args, checkpoint: Option<&Path>, device: &Device) -> Result<Trained, Failure> {
    let (path, checkpoint) = match (checkpoint, &args.weights, args.pretrained) {
        (Some(path), None, false) => (path, Checkpoint::load(path)?),
        (None, None, true) => (Path::new("--pretrained"), image::digits()?),
        (None, Some(path), false) => {
            let (flow, config) = authors::load(path, device)?;
            return Ok(Trained { flow, config, checkpoint: None });
        }
        (path, weights, pretrained) => {
            let found = [path.is_some(), weights.is_some(), pretrained];
            let found = found.into_iter().filter(|&given| given).count();
            let task = if args.run.sample.is_some() { "sample" } else { "eval" };
            let expected = "a checkpoint, --weights or --pretrained";
            return Err(Failure::OneModel { task, found, expected });
        }
    };
    let config: FlowPlusPlusConfig = read_config(&checkpoint, path)?;
    // What is published takes half precision.
    let whole = checkpoint.with_float_dtype(device.settings().float_dtype)?;
    let flow = Trainer::load_average(&whole, config.build(device)?)?;
    Ok(Trained { flow, config, checkpoint: Some(whole) })
}

fn sample(
    args: &Args,
    path: Option<&Path>,
    folder: &Folder,
    device: &Device,
) -> Result<(), Failure> {
    let Trained { flow, config, .. } = trained(args, path, device)?;
    export(args, &flow, &config)?;
    device.seed(StepSeed::new(args.run.seed()).seed(0, Purpose::Sampling));
    write_samples(folder, config.n_levels, |n| flow.sample_at(n, args.run.temperature))
}

fn evaluate(
    args: &Args,
    path: Option<&Path>,
    folder: &Folder,
    device: &Device,
) -> Result<(), Failure> {
    let Trained { flow, config, checkpoint } = trained(args, path, device)?;
    export(args, &flow, &config)?;
    let source = match (&checkpoint, path) {
        (Some(checkpoint), Some(path)) => args.run.evaluation_source(checkpoint, path)?,
        _ => args.run.source(None),
    };
    say!("evaluated on    {source}");
    let test = args.run.images(&source, &config)?.test;
    device.seed(StepSeed::new(args.run.seed()).seed(0, Purpose::Evaluation));
    let samples = args.run.importance_samples;
    let bits = likelihood_shown(&test, device, |x| flow.evaluate_importance_weighted(x, samples))?;
    let mean = bits.mean();
    say!("test {mean}");
    write_evaluation(folder, &mean, &source)
}

/// Writes the weights to the file that `--export` names: in the format of the authors if its name
/// ends in `.npz`, otherwise as a checkpoint in half precision.
fn export(args: &Args, flow: &FlowPlusPlus, config: &FlowPlusPlusConfig) -> Result<(), Failure> {
    let Some(path) = &args.export else { return Ok(()) };
    if path.extension().is_some_and(|extension| extension == "npz") {
        authors::save(flow, config, path)?;
    } else {
        image::export(flow, config, path)?;
    }
    say!("exported        {}", path.display());
    Ok(())
}
