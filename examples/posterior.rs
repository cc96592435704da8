//! Learns the posterior of a simulator's parameters from simulations alone, and samples it for
//! observations.
//!
//! ```text
//! cargo run --release --example posterior -- --simulations FILE.csv --observation FILE.csv \
//!     --lower -1 --upper 1 --samples 10000 --out DIR
//! cargo run --release --example posterior -- --help
//! ```
//! The file of simulations has columns `parameter_*`, samples of a prior between `--lower` and
//! `--upper`, and columns `data_*`, what the simulator made of them. An observation has the
//! same columns `data_*` and one row. With `--observations DIR` in place of `--observation`, there
//! is a posterior for each file `observation*.csv` below a folder. Expected last line:
//! `report          out/posterior/report.json`, in less than a minute for 10,000 simulations.
//!
//! | file | contents |
//! |---|---|
//! | `posterior.csv`, or `posteriors/NAME.csv` | samples, in columns `parameter_*` |
//! | `corner.svg` | histograms and pairs of the first observation's samples |
//! | `ranks.svg`, `coverage.svg` | calibration on simulations that were not trained on |
//! | `report.json` | log-densities of true parameters in nats, p-values, bounds, seeds, seconds |
//!
//! A p-value below 0.01 says that the posteriors do not have the right width or place (of the `d`
//! values of the ranks, the smallest below `0.01/d`): add simulations, or see `docs/posteriors.md`.
//!
//! What it teaches: a flow whose condition is embedded by a network, bounded parameters, an
//! ensemble of flows, and how to check that the posteriors have the width that they claim.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use clap::Parser;
use flowkit::calibration::{Coverage, PosteriorSamples, Ranks};
use flowkit::encoder::{Standardized, StandardizedConfig, VectorEncoder, VectorEncoderConfig};
use flowkit::flow::diagnose::PlotError;
use flowkit::law::RationalQuadraticSplineConfig;
use flowkit::model::maf::MafStep;
use flowkit::model::{LinearKind, MafConfig};
use flowkit::train::fit::{FitConfig, FitSchedule};
use flowkit::{
    Columns, ColumnsConfig, ConfigError, Embedded, Ensemble, Flow, FlowError, Given,
    StandardNormal, Uninit,
};
use flowkit_runs::best::best_so_far;
use flowkit_runs::corner::{self, Set};
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::posterior::{Failure, Simulations, csv, observations, posterior_file};
use flowkit_runs::rows::columns;
use flowkit_runs::{complain, files, say, threads};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Posteriors from simulations")]
struct Args {
    /// Simulations: columns `parameter_*` and `data_*`
    #[arg(long, value_name = "FILE")]
    simulations: PathBuf,
    /// One observation: columns `data_*`, one row
    #[arg(long, value_name = "FILE", required_unless_present = "observations")]
    observation: Option<PathBuf>,
    /// All files `observation*.csv` below a folder
    #[arg(long, value_name = "DIR", conflicts_with = "observation")]
    observations: Option<PathBuf>,
    /// Lower bounds of the parameters: one for all, or one for each, with commas
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, required = true)]
    lower: Vec<f64>,
    /// Upper bounds of the parameters, as the lower ones
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, required = true)]
    upper: Vec<f64>,
    /// Samples of each posterior
    #[arg(long, default_value_t = 10_000)]
    samples: usize,
    /// Flows of the ensemble, each trained from its own seed
    #[arg(long, default_value_t = 2)]
    members: usize,
    /// Largest number of updates of each flow
    #[arg(long, default_value_t = 3000)]
    updates: u64,
    /// Simulations to check the calibration with, which are not trained on
    #[arg(long, default_value_t = 200)]
    held_out: usize,
    /// Autoregressive layers of each flow
    #[arg(long, default_value_t = 5)]
    layers: usize,
    /// Width of the networks
    #[arg(long, default_value_t = 64)]
    width: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/posterior")]
    out: PathBuf,
}

/// Samples for each of the held-out simulations.
const PER_SIMULATION: usize = 200;

/// Parameters given data: bounds, then autoregressive splines, all given the encoded data.
type Model = Embedded<
    Standardized<VectorEncoder, 2>,
    Flow<(Columns, Vec<MafStep>), StandardNormal, 2, Tensor<2>>,
    2,
>;

/// A model of these parameters given these data.
fn model(
    args: &Args,
    parameters: &Tensor<2>,
    data: &Tensor<2>,
    [lower, upper]: &[Vec<f64>; 2],
) -> Result<Uninit<Model>, ConfigError> {
    let splines = RationalQuadraticSplineConfig::new(8).with_bound(5.0);
    let layers = MafConfig::new(args.layers)
        .with_hidden(vec![args.width; 2])
        .with_law(splines.into())
        .with_linear(LinearKind::Norm);
    let bounds = lower.iter().copied().zip(upper.iter().copied());
    let layers = (ColumnsConfig::bounded(bounds), layers);
    let encoder = VectorEncoderConfig::new(args.width).with_d_hidden(args.width);
    let encoder = StandardizedConfig::new(encoder);
    let shape = [1, parameters.dims()[1]];
    Embedded::build(&layers, StandardNormal::new(), shape, &encoder, data, &data.device())
}

/// Simulations of an update.
const BATCH: usize = 200;

/// How a flow is trained on so many simulations. The learning rate falls to 0, and the training
/// ends before if a tenth of the updates, and ten epochs, have gained nothing.
fn fit(args: &Args, simulations: usize, seed: u64) -> FitConfig {
    let fit = FitConfig::new().with_batch_size(BATCH).with_learning_rate(3e-3).with_seed(seed);
    let per_epoch = fit.clone().with_epochs(1).updates(simulations);
    fit.with_epochs(args.updates.div_ceil(per_epoch))
        .with_steps(Some(args.updates))
        .with_patience(args.updates.div_ceil(10 * per_epoch).max(10))
        .with_schedule(FitSchedule::ToZero)
}

/// The densities given observations.
fn given<'a>(
    members: &'a [Model],
    observed: &'a Tensor<2>,
) -> Result<Ensemble<Given<'a, Model, Tensor<2>>>, FlowError> {
    Ok(Ensemble::new(members.iter().map(|member| member.given(observed)).collect())?)
}

fn run(args: &Args) -> Result<(), Failure> {
    let device = Device::flex();
    let start = Instant::now();
    let (all, bounds) = Simulations::read(&args.simulations, &args.lower, &args.upper)?;
    let names: Vec<String> = all.parameters.names().map(str::to_owned).collect();
    let path = args.observation.as_ref().or(args.observations.as_ref());
    let observed = observations(path.expect("clap requires one"), &all.data, &device)?;
    for observation in observed.iter().filter(|observation| !observation.outside.is_empty()) {
        let (path, columns) = (observation.path.display(), observation.outside.join(", "));
        say!("outside         {path}: no simulation goes as far in {columns}");
    }
    let most = all.data.len().saturating_sub(2);
    if args.held_out > most {
        let (value, expected) = (args.held_out.to_string(), format!("at most {most} here"));
        return Err(Failure::Argument { flag: "held-out", value, expected });
    }
    let [train, held_out] = all.split(args.held_out as f64 / all.data.len() as f64, args.seed)?;

    let [parameters, data] = train.tensors(&device)?;
    let (mut members, mut reports) = (Vec::new(), Vec::new());
    for member in 0..args.members as u64 {
        let seed = args.seed.wrapping_add(member);
        device.seed(seed);
        let model = model(args, &parameters, &data, &bounds).map_err(flowkit::Error::from)?;
        let fitted =
            fit(args, train.data.len(), seed).fit(model, &(parameters.clone(), data.clone()));
        let fitted = fitted.or_else(best_so_far)?;
        say!("{}", fitted.report);
        reports.push(json!({
            "held_out_nats": fitted.report.held_out.mean(), "epochs": fitted.report.epochs,
            "best_epoch": fitted.report.best_epoch, "seconds": fitted.report.seconds,
            "end": fitted.report.end.to_string(),
        }));
        members.push(fitted.flow);
    }
    let trained = start.elapsed().as_secs_f64();

    device.seed(args.seed);
    for observation in &observed {
        let posterior = given(&members, &observation.data).map_err(flowkit::Error::from)?;
        let samples = posterior.sample(args.samples, args.seed).map_err(flowkit::Error::from)?;
        let values: Vec<f64> = samples.clone().into_data().iter::<f64>().collect();
        let file = posterior_file(&args.out, observation.name.as_deref());
        files::write(&file, "posterior", csv(&names, &values))?;
        if observation.path == observed[0].path {
            let columns = columns(&samples);
            let sets = [Set { name: "samples", columns: &columns }];
            let ranges: Vec<_> = bounds[0].iter().copied().zip(bounds[1].iter().copied()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let picture = corner::picture(&names, &sets, Some(&ranges))?;
            files::write(&args.out.join("corner.svg"), "corner plot", &picture)?;
        }
    }

    let [truth, data] = held_out.tensors(&device)?;
    let nats = given(&members, &data)
        .and_then(|posterior| posterior.evaluate(truth.clone()))
        .map_err(flowkit::Error::from)?
        .mean();
    let sample = |observed: &Tensor<2>, n: usize| given(&members, observed)?.sample(n, args.seed);
    let samples = PosteriorSamples::collect(&truth, &data, PER_SIMULATION, sample)?;
    let ranks = Ranks::new(&samples, args.seed);
    let coverage = Coverage::new(&samples, args.seed)?;
    say!("held-out        {nats} of {} simulations", samples.len());
    say!("ranks           p = {:.3?}", ranks.p_values());
    say!("coverage        p = {:.3}", coverage.p_value());
    let picture = |error: PlotError| Failure::Picture { reason: error.to_string() };
    ranks.plot(&names, args.out.join("ranks.svg")).map_err(picture)?;
    coverage.plot(args.out.join("coverage.svg")).map_err(picture)?;
    let report = json!({
        "simulations": all.data.len(), "held_out": samples.len(),
        "held_out_nats": nats.mean(), "held_out_standard_error": nats.standard_error(),
        "provenance": nats.provenance().to_string(),
        "rank_p_values": ranks.p_values(), "coverage_p_value": coverage.p_value(),
        "coverage_largest_deviation": coverage.largest_deviation(),
        "samples_per_simulation": PER_SIMULATION, "observations": observed.len(),
        "samples": args.samples, "lower": bounds[0], "upper": bounds[1], "fits": reports,
        "training_seconds": trained, "seconds": start.elapsed().as_secs_f64(),
        "seed": args.seed,
    });
    Ok(files::write(
        &args.out.join("report.json"),
        "report",
        serde_json::to_string_pretty(&report)?,
    )?)
}

/// Checks the numbers of the command line.
fn check(args: &Args) -> Result<(), Failure> {
    let counts = [
        ("samples", args.samples, 1),
        ("members", args.members, 1),
        ("updates", usize::try_from(args.updates).unwrap_or(usize::MAX), 1),
        // Coverage is scaled by the range of the true parameters.
        ("held-out", args.held_out, 2),
    ];
    for (flag, value, least) in counts {
        if value < least {
            let (value, expected) = (value.to_string(), format!("at least {least}"));
            return Err(Failure::Argument { flag, value, expected });
        }
    }
    files::create(&args.out)?;
    match args.observations {
        Some(_) => Ok(files::create(&args.out.join("posteriors"))?),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    threads::start();
    match check(&args).and_then(|()| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
