//! Trains a flow on points of a plane, two half moons, and draws what it learned: data, density and
//! samples.
//!
//! ```text
//! cargo run --release --example two_moons                         20 seconds on one core
//! cargo run --release --example two_moons -- --conditional        given which moon a point is of
//! cargo run --release --example two_moons -- --help               everything else
//! ```
//! Expected last line: `report          out/two_moons/report.json`. Held-out points have about
//! -1.01 nats per example, where a Gaussian has -1.92 and the truth is -1.00.
//!
//! What it teaches: a flow on vectors from a configuration, the same code with a condition and
//! without, the data-dependent start, the training loop, densities and samples, and two numbers to
//! hold a likelihood against: a Gaussian's, and the true one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use clap::{Parser, ValueEnum};
use flowkit::data::{Batches, TwoMoons};
use flowkit::law::{AffineConfig, AffineForm, MixLogCdfConfig, RationalQuadraticSplineConfig};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::train::{NegativeLogLikelihood, Purpose, StepSeed, Trainer, TrainerConfig};
use flowkit::{
    BoxBijector, Boxed, ConfigError, ContextShape, Density, Features, Flow, LayerConfig, Site,
    StandardNormal,
};
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::plane::{self, Failure, Row, Window};
use flowkit_runs::{files, say, threads};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "A flow on two moons: train, evaluate, draw")]
struct Args {
    /// Couplings of this law (RealNVP), or a masked autoregressive flow
    #[arg(long, default_value = "spline")]
    flow: FlowName,
    /// Tell the flow which moon a point is of
    #[arg(long)]
    conditional: bool,
    /// Updates
    #[arg(long, default_value_t = 4000)]
    steps: u64,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/two_moons")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum FlowName {
    Affine,
    Mixlog,
    Spline,
    Maf,
}

/// Points of an update.
const BATCH: usize = 256;

fn layers<C: Features<2>>(
    name: FlowName,
    d_context: Option<usize>,
    device: &Device,
) -> Result<BoxBijector<2, C>, ConfigError> {
    let site = Site::described([1, 2], ContextShape::vector(d_context), device);
    let couplings = match name {
        FlowName::Maf => {
            return Boxed::new(MafConfig::new(5)).build(&site);
        }
        FlowName::Affine => {
            RealNvpConfig::new(8).with_law(AffineConfig::new(AffineForm::Exponential).into())
        }
        FlowName::Spline => {
            RealNvpConfig::new(4).with_law(RationalQuadraticSplineConfig::new(8).into())
        }
        FlowName::Mixlog => RealNvpConfig::new(4).with_law(MixLogCdfConfig::new(8).into()),
    };
    Boxed::new(couplings).build(&site)
}

/// `context` makes the condition from rows that say which moon.
fn run<C: Features<2>>(args: &Args, context: impl Fn(Tensor<2>) -> C) -> Result<(), Failure> {
    let device = Device::flex();
    let graph = device.clone().autodiff();
    let seeds = StepSeed::new(args.seed);
    let (train, test) = (
        TwoMoons::new(20_000, 0.1, args.seed),
        TwoMoons::new(4000, 0.1, args.seed.wrapping_add(1)),
    );
    let (x, moons) = (train.points(&graph), train.moons(&graph));

    graph.seed(seeds.seed(0, Purpose::Initialization));
    let layers = layers::<C>(args.flow, (C::N_PARTS > 0).then_some(2), &graph)?;
    let flow = Flow::<_, _, 2, C>::new_given(layers, StandardNormal::new(), [1, 2])?;
    let flow = flow.initialize_given(x.clone(), &context(moons.clone()))?;
    let training = TrainerConfig::new().with_seed(args.seed).with_learning_rate(3e-3);
    let mut trainer = Trainer::new(flow, training)?;
    let batches = Batches::new(train.len(), BATCH, args.seed).expect("the data holds many batches");
    let start = Instant::now();
    for step in 0..args.steps {
        let rows: Vec<i64> =
            batches.indices(step as usize).into_iter().map(|index| index as i64).collect();
        let rows = Tensor::from_data(rows.as_slice(), &graph);
        let (x, given) =
            (x.clone().select(0, rows.clone()), context(moons.clone().select(0, rows)));
        let update = trainer.update_on(&graph, &NegativeLogLikelihood::given(x, given))?;
        if update.step.is_multiple_of(500) {
            let (nats, found) = (-update.loss, update.bits_per_dim.provenance());
            say!("step {:>6}      {nats:.3} nats per example ({found})", update.step);
        }
    }
    let seconds = start.elapsed().as_secs_f64();

    let flow = trainer.average();
    let held_out = flow.given(&context(test.moons(&device))).evaluate(test.points(&device))?;
    let held_out = held_out.mean();
    device.seed(seeds.seed(args.steps, Purpose::Sampling));
    let grid = plane::grid(Window::MOONS, &device);
    let [train_points, test_points] =
        [&train, &test].map(|moons| plane::points(&moons.points(&device)));
    let (mut rows, mut gaussian) = (Vec::new(), 0.0);
    let n_rows = if C::N_PARTS > 0 { 2 } else { 1 };
    for moon in 0..n_rows {
        let own = |points: &[[f64; 2]]| -> Vec<_> {
            points.iter().copied().skip(moon).step_by(n_rows).collect()
        };
        gaussian += plane::gaussian(&own(&train_points), &own(&test_points)) / n_rows as f64;
        let given =
            |n: usize| context(test.moons(&device).slice([moon..moon + 1, 0..2]).expand([n, 2]));
        let density = flow.given(&given(grid.dims()[0])).evaluate(grid.clone())?;
        let samples = flow.given(&given(2000)).sample(2000)?;
        rows.push(Row {
            data: own(&test_points).into_iter().take(2000).collect(),
            density: density.nats().iter().map(|log_prob| log_prob.exp()).collect(),
            samples: plane::points(&samples),
        });
    }
    let truth = if C::N_PARTS > 0 { test.mean_log_prob_given_moon() } else { test.mean_log_prob() };
    say!("held-out        {held_out}; a Gaussian {gaussian:.4}, the truth {truth:.4}");
    let svg = plane::picture(Window::MOONS, ["data", "density", "samples"], &rows)?;
    files::write(&args.out.join("two_moons.svg"), "picture", &svg)?;
    let report = json!({
        "test_nats": held_out.mean(), "test_standard_error": held_out.standard_error(),
        "provenance": held_out.provenance().to_string(), "gaussian_nats": gaussian,
        "true_nats": truth, "test_points": test.len(), "steps": args.steps, "batch": BATCH,
        "seconds": seconds, "seed": args.seed,
    });
    Ok(files::write(
        &args.out.join("report.json"),
        "report",
        serde_json::to_string_pretty(&report)?,
    )?)
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    threads::start();
    let checked = if args.steps == 0 {
        Err(Failure::Argument { flag: "steps", value: "0".into(), expected: "at least 1" })
    } else {
        files::create(&args.out).map_err(Failure::from)
    };
    plane::report(checked.and_then(|()| match args.conditional {
        true => run(&args, |moons| moons),
        false => run(&args, |_| ()),
    }))
}
