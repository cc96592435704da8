//! Trains Flow++ on the photographs that come with the crate by burn's own `Learner`: with its
//! dashboard in a terminal, checkpoints, early stopping, and resumption after any epoch that is
//! still on disk.
//!
//! ```text
//! # with the dashboard
//! cargo run --release --example learner --features tui
//! # a line for each metric and epoch
//! cargo run --release --example learner --features train
//! # goes on after epoch 3
//! cargo run --release --example learner --features train -- --resume 3
//! ```
//! Expected last line: `test 5.10<..> bits/dim (one-sample bound)`, after about 2 minutes on two
//! cores of an Intel Xeon.
//!
//! Ctrl-C, SIGTERM and SIGHUP end a run after its current step: it says after which epoch to go on
//! and exits with the code 128 + n, where n is the number of the signal. burn saves after each
//! epoch, so the resumed run repeats the epoch that was broken off. A second signal ends it at
//! once.
//!
//! What it teaches: what burn's `Learner` asks of a flow and where to find it. `flowpp_cifar`
//! trains the same model by the crate's own `Trainer`, which averages the weights too.

use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use burn::data::dataloader::DataLoader;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::optim::AdamConfig;
use burn::tensor::{Device, Int, Tensor};
use burn::train::checkpoint::{
    ComposedCheckpointingStrategy, KeepLastNCheckpoints, MetricCheckpointingStrategy,
};
use burn::train::metric::store::{Aggregate::Mean, Direction::Lowest, Split::Valid};
use burn::train::{Learner, MetricEarlyStoppingStrategy, StoppingCondition, SupervisedTraining};
use clap::Parser;
use flowkit::Density;
use flowkit::data::{Batches, ImageBatcher, Images, Loader, LoaderConfig, Pass, photographs};
use flowkit::flow::likelihood::OneSampleBound;
use flowkit::model::flow_plus_plus::FlowPlusPlusPreset;
use flowkit::train::learner::{EpochLog, LikelihoodMetric, MaximumLikelihood, SeededLoader};
use flowkit::train::{Purpose, StepSeed};
use flowkit::whole_file;
use flowkit_runs::learner::{StopOnSignal, report};
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::{say, threads};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Flow++ by burn's Learner")]
struct Args {
    /// Times that every image is seen
    #[arg(long, default_value_t = 4)]
    epochs: usize,
    /// Training images, of 1,024; an eighth as many test images
    #[arg(long, default_value_t = 512)]
    images: usize,
    /// Images of one update
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Epochs without a better test result that end the training
    #[arg(long, default_value_t = 3)]
    patience: usize,
    /// Go on after this epoch, from its checkpoint
    #[arg(long, value_name = "EPOCH")]
    resume: Option<usize>,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/learner")]
    out: PathBuf,
}

/// What order and noise follow from: a run that goes on with other values is another run.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    images: usize,
    batch: usize,
    seed: u64,
}

impl Settings {
    /// Keeps them beside the checkpoints, or compares them with those that are kept there.
    fn check(&self, args: &Args) -> Result<(), Box<dyn Error>> {
        let file = args.out.join("settings.json");
        if args.resume.is_none() {
            std::fs::create_dir_all(&args.out)?;
            let text = serde_json::to_string(self)?;
            return Ok(whole_file::write(&file, |file| file.write_all(text.as_bytes()))?);
        }
        let text = whole_file::read(&file, 1 << 20)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let saved: Self = serde_json::from_slice(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let Self { images, batch, seed } = saved;
        if saved != *self {
            let begun = format!("--images {images} --batch {batch} --seed {seed}");
            return Err(format!(
                "--resume: the run in {} was begun with {begun}",
                args.out.display()
            )
            .into());
        }
        Ok(())
    }
}

type Batch = Tensor<4, Int>;

fn loader(
    images: Images,
    order: Pass,
    args: &Args,
    device: &Device,
) -> Result<Arc<dyn DataLoader<Batch>>, Box<dyn Error>> {
    let config = LoaderConfig::new(args.batch).with_pass(order).with_seed(args.seed);
    let loader = Loader::new(images, ImageBatcher, config, device)?;
    Ok(Arc::new(loader.starting_at_epoch(args.resume.unwrap_or(0))))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let device = Device::default();
    let graph = device.clone().autodiff();
    Settings { images: args.images, batch: args.batch, seed: args.seed }.check(args)?;
    let (preset, seeds) = (FlowPlusPlusPreset::Tiny, StepSeed::new(args.seed));
    let data = photographs();
    let train =
        data.train.select(&Batches::new(data.train.len(), args.images, args.seed)?.indices(0));
    let test = data.test.take(args.images.div_ceil(8));

    // What burn's checkpoint holds takes the place of the data-dependent start.
    device.seed(seeds.seed(0, Purpose::Initialization));
    let uninit = preset.model().build(&graph)?;
    let flow = match args.resume {
        None => {
            let first: Vec<usize> = (0..preset.start_size().min(train.len())).collect();
            uninit.initialize(train.batch(&first, &graph))?
        }
        Some(epoch) => {
            let file = args.out.join(format!("checkpoint/model-{epoch}.bpk"));
            if !file.exists() {
                return Err(format!("{}: no checkpoint of epoch {epoch}", file.display()).into());
            }
            uninit.without_data()
        }
    };
    let training = preset.training();
    let model = MaximumLikelihood::new(flow)
        .with_max_norm(training.max_norm)?
        .with_norm_unit(training.norm_unit);

    // Order and noise of every epoch follow from the seed, so a resumed run is the run that did not
    // stop.
    let train = loader(train, Pass::Shuffled, args, &graph)?;
    let train = Arc::new(SeededLoader::training(train, args.seed, args.resume.unwrap_or(0)));
    let valid = loader(test.clone(), Pass::Sequential, args, &device)?;
    let valid = Arc::new(SeededLoader::evaluation(valid, args.seed));

    let bits = LikelihoodMetric::bits_per_dim(OneSampleBound);
    let patience = StoppingCondition::NoImprovementSince { n_epochs: args.patience };
    let keep = ComposedCheckpointingStrategy::builder()
        .add(KeepLastNCheckpoints::new(2))
        .add(MetricCheckpointingStrategy::new(&bits, Mean, Lowest, Valid))
        .build();
    let interrupter = model.interrupter();
    let stop = StopOnSignal::listen(interrupter.clone(), args.resume.unwrap_or(0))?;
    let mut learning = SupervisedTraining::new(&args.out, train, valid)
        .with_interrupter(interrupter)
        .early_stopping(MetricEarlyStoppingStrategy::new(&bits, Mean, Lowest, Valid, patience))
        .metrics((bits, LikelihoodMetric::nats(OneSampleBound)))
        .with_checkpointing_strategy(stop.noting(keep))
        .with_default_checkpointers()
        .num_epochs(args.epochs);
    if let Some(epoch) = args.resume {
        learning = learning.checkpoint(epoch);
    }
    if !(cfg!(feature = "tui") && std::io::stdout().is_terminal()) {
        learning = learning.renderer(Box::new(EpochLog::new()));
    }

    // burn's scheduler goes from one rate to the other and stays there: a warm-up.
    let rate = training.learning_rate;
    let warm_up = LinearLrSchedulerConfig::new(
        rate / training.warm_up as f64,
        rate,
        training.warm_up as usize,
    )
    .init()?;
    let result =
        learning.launch(Learner::new(model, AdamConfig::new().with_epsilon(1e-8).init(), warm_up));
    drop(result.renderer); // a dashboard gives the terminal back
    if let Some(error) = result.error {
        return Err(error.into());
    }
    if let Some(reason) = result.model.failure() {
        return Err(reason.into());
    }
    stop.check()?;

    device.seed(seeds.seed(0, Purpose::Evaluation));
    let all: Vec<usize> = (0..test.len()).collect();
    say!("test {}", result.model.model.evaluate(test.batch(&all, &device))?.bits_per_dim());
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    threads::start();
    report(run(&args))
}
