//! Trains Glow on images, shows what it learned, and evaluates or samples what was trained before.
//!
//! ```text
//! # photographs that come with the crate, a few minutes on two cores
//! cargo run --release --example glow_images
//! # everything else
//! cargo run --release --example glow_images -- --help
//! ```
//! Expected last line: `report          out/glow_images/report.json`, after 600 updates, three
//! minutes on two cores of an Intel Xeon; a slower machine stops after four minutes of updates.
//!
//! What it teaches: a second model in the training loop of `flowpp_cifar`, images of fewer bits,
//! augmentation, and samples at a lower temperature (`--sample CHECKPOINT --temperature 0.7`),
//! which multiplies the latents of every scale.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::module::Module;
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use flowkit::data::{Batches, ImageBatcher, Images, Loader, LoaderConfig, Split, Steps};
use flowkit::flow::likelihood::OneSampleBound;
use flowkit::model::glow::{
    Glow, GlowConfig, GlowCoupling, GlowPermutation, GlowPreset, GlowPrior,
};
use flowkit::random::Seeded;
use flowkit::train::{Checkpoint, NegativeLogLikelihood, Purpose, StepSeed, Trainer};
use flowkit::{BitDepth, BitsPerDim, ConfigError, Density};
use flowkit_runs::image::{
    Defaults, Failure, Folder, ImageConfig, Levels, Run, RunArgs, Setting, Setup, Task, likelihood,
    likelihood_shown, read_config, write_evaluation, write_samples,
};
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::{image, say, value_name};

/// Large buffers are allocated and freed at every step, which this allocator does fastest.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Glow on images: train, evaluate, sample")]
struct Args {
    /// tiny, small, or a model of the paper: cifar10, cifar10-additive, imagenet32, imagenet64,
    /// lsun64, celeba-hq256 [default: tiny]
    #[arg(long, conflicts_with_all = ["eval", "sample"])]
    preset: Option<GlowPreset>,
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
    /// Where to write. A new run takes the place of one that is finished
    #[arg(long, value_name = "DIR", default_value = "out/glow_images")]
    out: PathBuf,
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

/// Test images of the learning curve, and those of the final number.
const CURVE_IMAGES: usize = 32;
const TEST_IMAGES: usize = 256;

fn main() -> ExitCode {
    memory::keep();
    let args = Args::parse();
    image::report(run(&args))
}

fn run(args: &Args) -> Result<(), Failure> {
    let preset = args.preset.unwrap_or(GlowPreset::Tiny);
    let config = model(args, preset)?;
    let folder = args.run.folder(&args.out)?;
    let device = args.run.device()?;
    let named = |task, checkpoint: Option<_>| {
        let expected = "a checkpoint";
        checkpoint.ok_or(Failure::OneModel { task, found: 0, expected })
    };
    match args.run.task() {
        Task::Sample(checkpoint) => sample(args, named("sample", checkpoint)?, &folder, &device),
        Task::Evaluate(checkpoint) => evaluate(args, named("eval", checkpoint)?, &folder, &device),
        Task::Train => train(args, preset, config, folder, &device),
    }
}

/// The model of the preset, with what the command line asks for in the place of its own.
fn model(args: &Args, preset: GlowPreset) -> Result<GlowConfig, ConfigError> {
    let own = preset.model();
    let config = GlowConfig {
        n_levels: match args.bits {
            Some(bits) => BitDepth::new(bits)?.n_levels(),
            None => own.n_levels,
        },
        coupling: match args.coupling {
            Some(Coupling::Additive) => GlowCoupling::Additive,
            Some(Coupling::Affine) => GlowCoupling::Affine,
            Some(Coupling::Bounded) => GlowCoupling::Bounded,
            None => own.coupling,
        },
        permutation: match args.permutation {
            Some(Mixing::Matrix) => GlowPermutation::Matrix,
            Some(Mixing::Plu) => GlowPermutation::Plu,
            Some(Mixing::Reverse) => GlowPermutation::Reverse,
            Some(Mixing::Shuffle) => GlowPermutation::Shuffle { seed: args.run.seed() },
            None => own.permutation,
        },
        prior: match args.prior {
            Some(Prior::Standard) => GlowPrior::Standard,
            Some(Prior::Learned) => GlowPrior::Learned,
            None => own.prior,
        },
        ..own
    };
    config.validate()?;
    Ok(config)
}

/// What holds where the command line says nothing, and what a resumed run must agree with.
fn defaults(args: &Args, preset: GlowPreset) -> Defaults {
    let own = preset.model();
    let coupling = match own.coupling {
        GlowCoupling::Additive => Coupling::Additive,
        GlowCoupling::Affine => Coupling::Affine,
        GlowCoupling::Bounded => Coupling::Bounded,
    };
    // The presets have one of the two.
    let mixing = if own.permutation == GlowPermutation::Plu { Mixing::Plu } else { Mixing::Matrix };
    let flags = vec![
        Setting::new("preset", args.preset, preset),
        Setting::new("coupling", args.coupling.map(value_name), value_name(coupling)),
        Setting::new("permutation", args.permutation.map(value_name), value_name(mixing)),
        Setting::new("prior", args.prior.map(value_name), value_name(Prior::Learned)),
        Setting::new("bits", args.bits, own.n_levels.ilog2() as usize),
    ];
    let (training, batch_size) = (preset.training(), preset.batch_size());
    Defaults { training, batch_size, augmentations: preset.augmentations(), flags }
}

fn train(
    args: &Args,
    preset: GlowPreset,
    config: GlowConfig,
    folder: Folder,
    device: &Device,
) -> Result<(), Failure> {
    let device = device.clone().autodiff();
    // With `--resume`, model, settings and history come from the newest checkpoint of the folder.
    let setup = Setup::new(&args.run, folder, config)?;
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
    run: &mut Run<GlowConfig>,
    trainer: &mut Trainer<Glow>,
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
    trainer: &Trainer<Glow>,
    flow: &Glow,
    images: &Images,
    device: &Device,
) -> Result<BitsPerDim<OneSampleBound>, Failure> {
    let seeds = StepSeed::new(trainer.config().seed);
    let _noise = Seeded::new(device, seeds.seed(trainer.step_count(), Purpose::Evaluation));
    Ok(likelihood(images, device, |x| flow.evaluate(x))?.bits_per_dim())
}

/// Evaluates what was learned, and writes pictures, curve and report.
fn results(
    run: &Run<GlowConfig>,
    trainer: &Trainer<Glow>,
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

/// The flow of a checkpoint, with averaged weights and outside any graph.
fn load(path: &Path, device: &Device) -> Result<(Glow, GlowConfig, Checkpoint), Failure> {
    let checkpoint = Checkpoint::load(path)?;
    let config: GlowConfig = read_config(&checkpoint, path)?;
    let flow = Trainer::load_average(&checkpoint, config.build(device)?)?;
    Ok((flow, config, checkpoint))
}

fn sample(args: &Args, path: &Path, folder: &Folder, device: &Device) -> Result<(), Failure> {
    let (flow, config, _) = load(path, device)?;
    device.seed(StepSeed::new(args.run.seed()).seed(0, Purpose::Sampling));
    write_samples(folder, config.n_levels(), |n| flow.sample_at(n, args.run.temperature))
}

fn evaluate(args: &Args, path: &Path, folder: &Folder, device: &Device) -> Result<(), Failure> {
    let (flow, config, checkpoint) = load(path, device)?;
    let source = args.run.evaluation_source(&checkpoint, path)?;
    say!("evaluated on    {source}");
    let test = args.run.images(&source, &config)?.test;
    device.seed(StepSeed::new(args.run.seed()).seed(0, Purpose::Evaluation));
    let samples = args.run.importance_samples;
    let bits = likelihood_shown(&test, device, |x| flow.evaluate_importance_weighted(x, samples))?;
    let mean = bits.mean();
    say!("test {mean}");
    write_evaluation(folder, &mean, &source)
}
