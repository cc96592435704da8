//! What the image examples share: arguments, evaluation, progress, and what they write.

mod args;
mod conduct;
mod failure;
mod folder;
mod history;
mod memory;
mod model;
mod pictures;
mod progress;
mod saved;
mod settings;
mod signals;
mod source;
mod training;

use std::path::Path;
use std::process::ExitCode;

use burn::tensor::Device;
use flowkit::data::{Images, Split, chunks};
use flowkit::flow::likelihood::{ImportanceWeightedBound, OneSampleBound};
use flowkit::train::{Checkpoint, Purpose, StepSeed, Trainer};
use flowkit::{BitsPerDim, FlowError, LogLikelihood};

pub use args::RunArgs;
pub use failure::Failure;
pub use memory::keep_memory;
pub use model::{ImageModel, ImageModelConfig};
pub use settings::Setting;
pub use training::Experiment;

use crate::threads;
use folder::Folder;
use saved::Saved;
use source::Source;

/// Images that are evaluated at once.
const EVALUATION_BATCH: usize = 32;

/// Does what the command line asks for: trains, evaluates or samples.
pub fn run<C: ImageModelConfig>(args: &RunArgs, experiment: Experiment<C>) -> Result<(), Failure> {
    args.validate()?;
    threads::start();
    signals::survive_large_files().map_err(|source| Failure::Signals { source })?;
    let mut folder = Folder::create(&args.out)?;
    let device = args.device()?;
    let seeds = StepSeed::new(args.seed());
    if let Some(path) = &args.sample {
        let (model, config, _) = load::<C>(path, &device)?;
        device.seed(seeds.seed(0, Purpose::Sampling));
        return folder.write_samples(&model, args.temperature, config.n_levels());
    }
    if let Some(path) = &args.eval {
        let (model, config, checkpoint) = load::<C>(path, &device)?;
        // The images that the run kept aside; a checkpoint of another program may say nothing of
        // them.
        let saved = checkpoint
            .metadata(settings::KEY)
            .map(|_| settings::read(&checkpoint, path))
            .transpose()?;
        let saved = saved.map(|saved| Source::saved(&saved, path)).transpose()?.flatten();
        let source = args.evaluation_source(saved, path)?;
        say!("evaluated on    {source}");
        let data = fit(&config, args.read(&source, config.image())?)?;
        device.seed(seeds.seed(0, Purpose::Evaluation));
        let bits =
            evaluate_importance_weighted(&model, &data.test, args.importance_samples, &device)?;
        say!("test {bits}");
        return folder.write_evaluation(&bits, data.test.len(), &source.to_string());
    }
    // A training has the folder to itself, from before it looks for checkpoints until its last
    // file.
    folder.lock()?;
    let saved = if args.overwrite { None } else { Saved::find(&folder)? };
    if let (false, Some(saved)) = (args.resume, &saved) {
        saved.check_finished(&args.out)?;
    }
    let saved = saved.filter(|_| args.resume);
    let resumed = saved.as_ref().map(Saved::config::<C>).transpose()?;
    let config = resumed.as_ref().unwrap_or(&experiment.config);
    let source = args.source(saved.as_ref().map(Saved::source).transpose()?.flatten());
    let data = fit(config, args.read(&source, config.image())?)?;
    let trained =
        training::train(experiment, saved, args, &data, &device.clone().autodiff(), &folder)?;
    folder.write_all(&trained, &data, args, &device)
}

/// The averaged model of a checkpoint, without gradients, and its configuration.
fn load<C: ImageModelConfig>(
    path: &Path,
    device: &Device,
) -> Result<(C::Model, C, Checkpoint), Failure> {
    let checkpoint = Checkpoint::load(path)?;
    let config: C = saved::read_config(&checkpoint, path)?;
    let model = Trainer::load_average(&checkpoint, config.build(&device.clone().inner())?)?;
    Ok((model, config, checkpoint))
}

/// The data in as many levels as the model knows, or why the model cannot take it: known before a
/// model is made.
fn fit<C: ImageModelConfig>(config: &C, data: Split) -> Result<Split, Failure> {
    config.check_images(data.train.shape()).map_err(FlowError::from)?;
    let [train, test] =
        [data.train.coarsened(config.n_levels())?, data.test.coarsened(config.n_levels())?];
    Ok(Split { train, test, ..data })
}

/// One-sample bound of a set of images.
fn evaluate(
    model: &impl ImageModel,
    images: &Images,
    device: &Device,
) -> Result<LogLikelihood<OneSampleBound>, Failure> {
    let plain = device.clone().inner();
    let mut total: Option<LogLikelihood<OneSampleBound>> = None;
    for indices in chunks(images.len(), EVALUATION_BATCH)? {
        let part = model.bound(images.batch(&indices, &plain))?;
        match &mut total {
            None => total = Some(part),
            Some(total) => total.extend(part),
        }
    }
    total.ok_or(Failure::NothingToEvaluate)
}

/// Importance-weighted bound of a set of images.
fn evaluate_importance_weighted(
    model: &impl ImageModel,
    images: &Images,
    samples: usize,
    device: &Device,
) -> Result<BitsPerDim<ImportanceWeightedBound>, Failure> {
    let plain = device.clone().inner();
    let mut total: Option<LogLikelihood<ImportanceWeightedBound>> = None;
    for indices in chunks(images.len(), EVALUATION_BATCH)? {
        let part = model.weighted_bound(images.batch(&indices, &plain), samples)?;
        match &mut total {
            None => total = Some(part),
            Some(total) => total.extend(part),
        }
    }
    Ok(total.ok_or(Failure::NothingToEvaluate)?.bits_per_dim())
}

/// Ends a program: an error is printed, with its causes in its text, and the exit code is not zero.
pub fn report(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    complain!("error: {failure}");
    ExitCode::from(failure.exit_code())
}
