//! Trains Flow++ on several devices by burn's own strategies, with burn's dashboard in a terminal.
//!
//! ```text
//! # the CPU twice, with the dashboard
//! cargo run --release --example train_distributed --features tui -- --devices 2
//! # eight GPUs
//! cargo run --release --example train_distributed --features tui,cuda -- \
//!     --devices 8 --cuda --preset imagenet64 --batch 64 --precision bf16
//! # goes on after epoch 2, on four devices
//! cargo run --release --example train_distributed --features train -- --devices 4 --resume 2
//! ```
//! Expected last line: `test 4.9<..> bits/dim (one-sample bound)`, after half a minute on two cores
//! of an Intel Xeon.
//!
//! Ctrl-C, SIGTERM and SIGHUP end a run after its current step, as those of `learner` do: the
//! program says after which epoch to go on.
//!
//! What it teaches: what has to be said for several devices, which is `ShardedLoader` for the data
//! and `DataParallel` around the model. Batches are those of one device, so that a run may go on
//! with another number. `learner` shows the rest of burn's `Learner`.

use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use burn::data::dataloader::DataLoader;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::optim::AdamConfig;
use burn::tensor::distributed::{DistributedConfig, ReduceOperation};
use burn::tensor::{Device, Int, Tensor};
use burn::train::checkpoint::KeepLastNCheckpoints;
use burn::train::{ExecutionStrategy, Learner, MultiDeviceOptim, SupervisedTraining};
use clap::{Parser, ValueEnum};
use flowkit::Density;
use flowkit::data::{ImageBatcher, Images, Loader, LoaderConfig, Pass, photographs};
use flowkit::flow::likelihood::OneSampleBound;
use flowkit::model::flow_plus_plus::FlowPlusPlusPreset;
use flowkit::train::learner::{
    DataParallel, EpochLog, LikelihoodMetric, MaximumLikelihood, ShardedLoader,
};
use flowkit::train::{EmaDecay, LossScale, Precision, Purpose, StepSeed};
use flowkit_runs::learner::{StopOnSignal, report};
use flowkit_runs::{say, threads};

#[derive(Parser)]
#[command(about = "Flow++ on several devices")]
struct Args {
    /// Devices: the default one so many times, or the first so many of CUDA's
    #[arg(long, default_value_t = 2)]
    devices: usize,
    /// Devices of CUDA (feature `cuda`)
    #[arg(long)]
    cuda: bool,
    /// A process of burn's for each device, with collective operations, instead of one that adds
    /// the gradients up; CUDA only
    #[arg(long, requires = "cuda")]
    ddp: bool,
    /// tiny, small, or a released model
    #[arg(long, default_value = "tiny")]
    preset: FlowPlusPlusPreset,
    /// Type that networks are trained in
    #[arg(long, value_enum, default_value_t = Type::F32)]
    precision: Type,
    /// Times that every image is seen
    #[arg(long, default_value_t = 4)]
    epochs: usize,
    /// Training images, of 1,024; an eighth as many test images
    #[arg(long, default_value_t = 512)]
    images: usize,
    /// Images of one update, over all devices
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Go on after this epoch, from its checkpoint
    #[arg(long, value_name = "EPOCH")]
    resume: Option<usize>,
    /// Order, augmentation and start follow from it
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/train_distributed")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    F32,
    Bf16,
    F16,
}

impl Args {
    fn devices(&self) -> Result<Vec<Device>, Box<dyn Error>> {
        if !self.cuda {
            return Ok(vec![Device::default().autodiff(); self.devices]);
        }
        #[cfg(feature = "cuda")]
        return Ok((0..self.devices).map(|index| Device::cuda(index).autodiff()).collect());
        #[cfg(not(feature = "cuda"))]
        Err("--cuda: built without the feature `cuda`".into())
    }

    fn loader(
        &self,
        images: Images,
        order: Pass,
        device: &Device,
    ) -> Result<Loader<Tensor<4, Int>>, Box<dyn Error>> {
        let config = LoaderConfig::new(self.batch).with_pass(order).with_seed(self.seed);
        Ok(Loader::new(images, ImageBatcher, config, device)?)
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let devices = args.devices()?;
    let first = devices.first().ok_or("--devices must be at least 1")?.clone();
    let plain = first.clone().without_autodiff();
    let (preset, seeds, begun) = (args.preset, StepSeed::new(args.seed), args.resume.unwrap_or(0));
    let data = photographs();
    let (train, test) = (data.train.take(args.images), data.test.take(args.images.div_ceil(8)));

    // Once, on the first device; burn copies the model to the others. What a checkpoint holds takes
    // the place of this start.
    first.seed(seeds.seed(0, Purpose::Initialization));
    let uninit = preset.model().build(&first)?;
    let flow = match args.resume {
        Some(_) => uninit.without_data(),
        None => {
            let batch: Vec<usize> = (0..preset.start_size().min(train.len())).collect();
            uninit.initialize(train.batch(&batch, &first))?
        }
    };
    let training = preset.training();
    let precision = match args.precision {
        Type::F32 => Precision::Full,
        Type::Bf16 => Precision::BF16,
        Type::F16 => Precision::F16(LossScale::Fixed { exponent: 4 }),
    };
    let model = MaximumLikelihood::new(flow)
        .with_max_norm(training.max_norm)?
        .with_norm_unit(training.norm_unit)
        .with_precision(precision)?;
    // Collective operations average in the backward pass; without them burn adds up.
    let n_parts = if args.ddp { 1 } else { args.devices };
    let model = DataParallel::new(model, n_parts, EmaDecay::Warmed(0.999))?;

    let loader = args.loader(train, Pass::Shuffled, &plain)?.starting_at_epoch(begun);
    let loader: Arc<dyn DataLoader<_>> =
        Arc::new(ShardedLoader::new(Arc::new(loader), args.devices)?);
    let valid = Arc::new(args.loader(test.clone(), Pass::Sequential, &plain)?);
    let strategy = match (args.ddp, args.devices) {
        (_, 1) => ExecutionStrategy::single(first.clone()),
        (true, _) => ExecutionStrategy::ddp(
            devices,
            DistributedConfig { all_reduce_op: ReduceOperation::Mean },
        ),
        (false, _) => ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice),
    };
    first.seed(seeds.seed(begun as u64, Purpose::Training));
    let interrupter = model.learned.interrupter();
    let stop = StopOnSignal::listen(interrupter.clone(), begun)?;
    let mut learning = SupervisedTraining::new(&args.out, loader, valid)
        .with_interrupter(interrupter)
        .with_training_strategy(strategy.into())
        .metrics((
            LikelihoodMetric::bits_per_dim(OneSampleBound),
            LikelihoodMetric::nats(OneSampleBound),
        ))
        .with_checkpointing_strategy(stop.noting(KeepLastNCheckpoints::new(2)))
        .with_default_checkpointers()
        .num_epochs(args.epochs);
    if let Some(epoch) = args.resume {
        learning = learning.checkpoint(epoch);
    }
    if !(cfg!(feature = "tui") && std::io::stdout().is_terminal()) {
        learning = learning.renderer(Box::new(EpochLog::new()));
    }
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
    if let Some(reason) = result.model.learned.failure() {
        return Err(reason.into());
    }
    stop.check()?;

    plain.seed(seeds.seed(0, Purpose::Evaluation));
    let all: Vec<usize> = (0..test.len()).collect();
    say!("test {}", result.model.average.evaluate(test.batch(&all, &plain))?.bits_per_dim());
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    threads::start();
    report(run(&args))
}
