//! Trains a flow to sample from a density that is known up to a factor, without data, and uses the
//! flow as the proposal of importance sampling and of a Markov chain.
//!
//! ```text
//! cargo run --release --example boltzmann -- --target double-well
//! cargo run --release --example boltzmann -- --target mixture40
//! cargo run --release --example boltzmann -- --target funnel
//! cargo run --release --example boltzmann -- --target phi4 --kappa 0.25
//! ```
//! Each takes less than a minute on two cores. Expected last line:
//! `report          out/boltzmann/report.json`. `ln Z` is within three of its stated errors of the
//! exact value, where that is known; for the lattice, the means of the flow differ from those of a
//! Metropolis chain, which the program runs too, by less than two of their errors together. The
//! effective size is the number of independent samples of the target that would do as well, as a
//! share of those of the flow. Above the printed limit of Pareto k, no figure is reliable.
//!
//! What it teaches: a target, objectives that sample the flow itself, annealing of the temperature,
//! weights and what they say about the fit, and a network of one's own that respects a symmetry.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use clap::{Parser, ValueEnum};
use flowkit::conditioner::theta;
use flowkit::importance::{Estimate, ImportanceSamples, Target};
use flowkit::law::{AffineConfig, AffineForm, RationalQuadraticSplineConfig};
use flowkit::model::{LinearKind, MafConfig, RealNvpConfig};
use flowkit::train::{
    AlphaTwo, Annealing, ForwardKl, Objective, Purpose, ReverseKl, ReverseKlGradient, Schedule,
    StepSeed, Trainer, TrainerConfig,
};
use flowkit::{
    Bijector, ConfigError, Density, DiagonalNormalConfig, Flow, Half, Invert, Mask,
    MaskedCouplingConfig, Net, NetConfig, NetSite, ReparametrisedPrior, ScalarAffineConfig,
    StandardNormal, Uninit,
};
use flowkit_runs::boltzmann::{DoubleWell, Funnel, Mixture40, Observables, Phi4, two_point_plot};
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::plane::{self, Failure, Row, Window};
use flowkit_runs::{files, say, threads, value_name};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "A flow that samples from an unnormalised density")]
struct Args {
    /// The density
    #[arg(long, default_value = "double-well")]
    target: Name,
    /// Updates; by default a number that suits the target, from 600 to 2000
    #[arg(long)]
    steps: Option<u64>,
    /// Samples of the final estimates, at least 100
    #[arg(long, default_value_t = 50_000)]
    samples: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Hopping parameter of phi4, in [0, 1], by default 0.25
    #[arg(long)]
    kappa: Option<f64>,
    /// Quartic coupling of phi4, in [0.001, 1], by default 0.02
    #[arg(long)]
    lambda: Option<f64>,
    /// Sweeps of the Metropolis chain that phi4 is compared with, by default 200,000
    #[arg(long, value_name = "SWEEPS")]
    reference: Option<usize>,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/boltzmann")]
    out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Name {
    DoubleWell,
    Mixture40,
    Funnel,
    Phi4,
}

/// What an update minimises.
#[derive(Clone, Copy)]
enum Loss {
    /// The reverse divergence by its path gradient, which has no variance at an exact fit.
    Path,
    /// The reverse divergence by its total gradient, which needs no second pass.
    Total,
    /// The forward divergence, which covers all modes.
    Forward,
    /// The second moment of the weights.
    AlphaTwo,
}

/// How a flow is trained.
struct Plan {
    steps: u64,
    /// Samples of an update.
    batch: usize,
    learning_rate: f64,
    /// Temperature before the first update; it is 1 after two thirds of them.
    hottest: f64,
    /// Loss of most updates.
    first: Loss,
    /// Loss of the last quarter.
    last: Loss,
}

/// Updates a flow, prints its progress, and returns the averaged weights.
fn train<B, P, T, const D: usize>(
    flow: Uninit<Flow<B, P, D>>,
    target: &T,
    plan: &Plan,
    args: &Args,
) -> Result<Flow<B, P, D>, Failure>
where
    B: Bijector<D>,
    P: ReparametrisedPrior<D>,
    T: Target<D>,
{
    let device = Device::flex().autodiff();
    let annealing = Annealing::Geometric { from: plan.hottest, until: (2 * plan.steps / 3).max(1) };
    annealing.validate()?;
    let falls = Schedule::Cosine { start: plan.steps / 2, end: plan.steps.max(2), floor: 0.01 };
    let config = TrainerConfig::new()
        .with_seed(args.seed)
        .with_learning_rate(plan.learning_rate)
        .with_schedule(falls);
    let mut trainer = Trainer::new(flow.without_data(), config)?;
    for step in 0..plan.steps {
        let temperature = annealing.temperature(step);
        let loss = if 4 * step < 3 * plan.steps { plan.first } else { plan.last };
        let reverse = ReverseKl::new(target, plan.batch).with_temperature(temperature);
        let value = match loss {
            Loss::Path => update(&mut trainer, &device, &reverse)?,
            Loss::Total => {
                let total = reverse.with_gradient(ReverseKlGradient::Total);
                update(&mut trainer, &device, &total)?
            }
            Loss::Forward => {
                let forward = ForwardKl::new(target, plan.batch).with_temperature(temperature);
                update(&mut trainer, &device, &forward)?
            }
            Loss::AlphaTwo => {
                let alpha = AlphaTwo::new(target, plan.batch).with_temperature(temperature);
                update(&mut trainer, &device, &alpha)?
            }
        };
        if (step + 1).is_multiple_of((plan.steps / 8).max(1)) {
            say!("step {:>6}      loss {value:.4} nats at temperature {temperature:.2}", step + 1);
        }
    }
    Ok(trainer.average().clone())
}

fn update<M: Module>(
    trainer: &mut Trainer<M>,
    device: &Device,
    objective: &impl Objective<M>,
) -> Result<f64, Failure> {
    Ok(trainer.update_on(device, objective)?.loss)
}

/// Samples of a trained flow with their weights. Prints what the weights say; what is returned
/// besides goes into the report.
fn measure<B, P, T, const D: usize>(
    flow: &Flow<B, P, D>,
    target: &T,
    exact: Option<f64>,
    args: &Args,
) -> Result<(ImportanceSamples<D>, Value), Failure>
where
    B: Bijector<D>,
    P: ReparametrisedPrior<D>,
    T: Target<D>,
{
    Device::flex().seed(StepSeed::new(args.seed).seed(0, Purpose::Evaluation));
    let samples = ImportanceSamples::draw(flow, target, args.samples)?;
    let weights = &samples.log_weights;
    let (log_z, k, chain) = (weights.log_z()?, weights.pareto_k()?, weights.chain(args.seed));
    let truth = exact.map_or("not known".into(), |exact| format!("exactly {exact:.4}"));
    say!("ln Z            {log_z}, {truth}");
    say!("effective size  {:.3} of the samples", weights.effective_share());
    say!("acceptance      {:.3}", chain.acceptance_rate());
    let limit = k.threshold();
    if k.is_reliable() {
        say!("Pareto k        {:.3}, reliable up to {limit:.2}", k.k);
    } else {
        say!("Pareto k        {:.3}, above {limit:.2}: no figure is reliable, raise --steps", k.k);
    }
    let report = json!({
        "log_z": log_z.value, "log_z_standard_error": log_z.standard_error, "exact_log_z": exact,
        "effective_share": weights.effective_share(), "acceptance": chain.acceptance_rate(),
        "pareto_k": k.k, "pareto_k_threshold": k.threshold(), "samples": args.samples,
    });
    Ok((samples, report))
}

/// Writes the chain, the density of the flow where it is a density of the plane, and samples.
fn draw(
    samples: &ImportanceSamples<2>,
    density: impl FnOnce(Tensor<2>) -> Result<Vec<f64>, Failure>,
    window: Window,
    args: &Args,
) -> Result<(), Failure> {
    let points = plane::points(&samples.x.clone().narrow(1, 0, 2));
    let shown = points.len().min(3000);
    let chain = samples.log_weights.chain(args.seed);
    let states = chain.states().iter().rev().take(shown);
    let row = Row {
        data: states.map(|&state| points[state]).collect(),
        density: density(plane::grid(window, &Device::flex()))?,
        samples: points[..shown].to_vec(),
    };
    let captions = ["Markov chain", "density of the flow", "samples of the flow"];
    let svg = plane::picture(window, captions, &[row])?;
    Ok(files::write(&args.out.join("samples.svg"), "picture", &svg)?)
}

/// `exp ln q` at points of the plane.
fn density_of<B, P>(flow: &Flow<B, P, 2>, points: Tensor<2>) -> Result<Vec<f64>, Failure>
where
    B: Bijector<2>,
    P: ReparametrisedPrior<2>,
{
    let nats = flow.evaluate(points)?;
    Ok(nats.nats().iter().map(|nats| nats.exp()).collect())
}

/// Spline couplings of the plane, for targets within about `±3 scale`.
fn splines(
    scale: f64,
    couplings: usize,
    bins: usize,
    width: usize,
) -> (ScalarAffineConfig, RealNvpConfig) {
    let law = RationalQuadraticSplineConfig::new(bins).with_bound(4.0);
    let layers = RealNvpConfig::new(couplings)
        .with_hidden(vec![width; 2])
        .with_law(law.into())
        .with_linear(LinearKind::None);
    (ScalarAffineConfig::new(1.0 / scale, 0.0), layers)
}

fn double_well(args: &Args, device: &Device) -> Result<(Value, Plan), Failure> {
    let steps = args.steps.unwrap_or(1500);
    let plan = Plan {
        steps,
        batch: 256,
        learning_rate: 3e-3,
        hottest: 5.0,
        first: Loss::Forward,
        last: Loss::Path,
    };
    let layers = splines(1.0, 4, 12, 32);
    let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], device)?;
    let flow = train(flow, &DoubleWell, &plan, args)?;
    let (samples, report) = measure(&flow, &DoubleWell, Some(DoubleWell.log_z()), args)?;
    let window = Window::around([0.0, 0.0], 8.0);
    draw(&samples, |points| density_of(&flow, points), window, args)?;
    Ok((report, plan))
}

fn mixture40(args: &Args, device: &Device) -> Result<(Value, Plan), Failure> {
    let (target, steps) = (Mixture40::new(0), args.steps.unwrap_or(1200));
    let plan = Plan {
        steps,
        batch: 512,
        learning_rate: 3e-3,
        hottest: 60.0,
        first: Loss::Forward,
        last: Loss::AlphaTwo,
    };
    // A prior as wide as the square of the means.
    let layers = splines(14.0, 4, 24, 64);
    let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], device)?;
    let flow = train(flow, &target, &plan, args)?;
    let (samples, mut report) = measure(&flow, &target, Some(0.0), args)?;
    let modes = target.modes_reached(&plane::points(&samples.x));
    say!("modes           {modes} of 40");
    (report["modes"], report["means"]) = (modes.into(), json!(target.means()));
    let window = Window::around([0.0, 0.0], 128.0);
    draw(&samples, |points| density_of(&flow, points), window, args)?;
    Ok((report, plan))
}

fn funnel(args: &Args, device: &Device) -> Result<(Value, Plan), Failure> {
    let steps = args.steps.unwrap_or(2000);
    let plan = Plan {
        steps,
        batch: 256,
        learning_rate: 3e-3,
        hottest: 1.0,
        first: Loss::Total,
        last: Loss::Total,
    };
    // Inverse autoregressive layers: a sample is one pass.
    let layers = MafConfig::new(2)
        .with_hidden(vec![64])
        .with_law(AffineConfig::new(AffineForm::Normal).into())
        .with_linear(LinearKind::None);
    let shape = [1, Funnel::DIMS];
    let flow = Flow::build(&Invert::new(layers), DiagonalNormalConfig::new(), shape, device)?;
    let flow = train(flow, &Funnel, &plan, args)?;
    let (samples, report) = measure(&flow, &Funnel, Some(0.0), args)?;
    draw(&samples, |_| Ok(Vec::new()), Window::around([0.0, 0.0], 24.0), args)?;
    Ok((report, plan))
}

/// A network whose shifts change their sign with the field and whose scales do not, so the flow
/// commutes with a change of sign.
/// ```text
/// h = tanh(A·φ)                      no bias: odd in φ
/// t = B·h + C·φ,  s = D·h²           odd and even
/// ```
#[derive(Module, Debug)]
struct Symmetric {
    hidden: Linear,
    shift: Linear,
    direct: Linear,
    scale: Linear,
}

#[derive(Clone)]
struct SymmetricConfig {
    hidden: usize,
}

impl Net<4> for Symmetric {
    fn forward(&self, identity: Tensor<4>, _: Option<Tensor<4>>) -> Tensor<3> {
        let field: Tensor<2> = identity.flatten(1, 3);
        let hidden = self.hidden.forward(field.clone()).tanh();
        let shift = self.shift.forward(hidden.clone()) + self.direct.forward(field);
        let scale = self.scale.forward(hidden.square());
        theta(Tensor::cat(vec![scale, shift], 1), 2)
    }
}

impl NetConfig<4> for SymmetricConfig {
    type Net = Symmetric;

    fn build(&self, site: &NetSite<4>) -> Result<Symmetric, ConfigError> {
        let layer = |inputs: usize, outputs: usize, size: f64| {
            let initializer = Initializer::Normal { mean: 0.0, std: size / (inputs as f64).sqrt() };
            let config = LinearConfig::new(inputs, outputs).with_bias(false);
            config.with_initializer(initializer).init(site.device())
        };
        // The flow begins near the identity.
        let (n, sites) = (self.hidden, site.identity()[1..].iter().product());
        Ok(Symmetric {
            hidden: layer(sites, n, 1.0),
            shift: layer(n, sites, 0.1),
            direct: layer(sites, sites, 0.1),
            scale: layer(n, sites, 0.1),
        })
    }
}

fn phi4(args: &Args, device: &Device) -> Result<(Value, Plan), Failure> {
    let (kappa, lambda) = (args.kappa.unwrap_or(0.25), args.lambda.unwrap_or(0.02));
    let target = Phi4 { kappa, lambda };
    let steps = args.steps.unwrap_or(600);
    let plan = Plan {
        steps,
        batch: 256,
        learning_rate: 3e-3,
        hottest: 1.0,
        first: Loss::Path,
        last: Loss::Path,
    };
    let coupling = |identity| {
        let law = AffineConfig::new(AffineForm::Exponential);
        let net = SymmetricConfig { hidden: 128 };
        MaskedCouplingConfig::new(law, net, Mask::Checkerboard).with_identity(identity)
    };
    let layers = vec![(coupling(Half::First), coupling(Half::Second)); 4];
    let shape = [1, 1, Phi4::SIDE, Phi4::SIDE];
    let flow = Flow::build(&layers, StandardNormal::new(), shape, device)?;
    let flow = train(flow, &target, &plan, args)?;
    let (samples, mut report) = measure(&flow, &target, None, args)?;
    let series = Phi4::observables(&samples.x);
    let mean = |values: &Vec<f64>| samples.log_weights.mean(values);
    let mut two_point = Vec::new();
    for values in &series.two_point {
        two_point.push(mean(values)?);
    }
    let own = Observables {
        magnetisation: mean(&series.magnetisation)?,
        two_point: std::array::from_fn(|t| two_point[t]),
    };
    let chain = target.metropolis(args.reference.unwrap_or(200_000), args.seed);
    let pairs = std::iter::once(("|m|".to_owned(), own.magnetisation, chain.magnetisation)).chain(
        (0..own.two_point.len()).map(|t| (format!("G({t})"), own.two_point[t], chain.two_point[t])),
    );
    let mut rows = Vec::new();
    for (name, flow, chain) in pairs {
        let apart = apart(flow, chain);
        say!("{name:<15} {flow} by the flow, {chain} by Metropolis: {apart:.1} errors apart");
        rows.push(json!({
            "name": name, "flow": flow.value, "flow_standard_error": flow.standard_error,
            "metropolis": chain.value, "metropolis_standard_error": chain.standard_error,
            "errors_apart": apart,
        }));
    }
    report["observables"] = rows.into();
    (report["kappa"], report["lambda"]) = (kappa.into(), lambda.into());
    files::write(&args.out.join("two_point.svg"), "picture", two_point_plot(&own, &chain)?)?;
    Ok((report, plan))
}

/// The distance of two estimates in units of its error.
fn apart(a: Estimate, b: Estimate) -> f64 {
    (a.value - b.value).abs() / a.standard_error.hypot(b.standard_error)
}

fn run(args: &Args) -> Result<(), Failure> {
    let device = Device::flex().autodiff();
    device.seed(StepSeed::new(args.seed).seed(0, Purpose::Initialization));
    let start = Instant::now();
    let (mut report, plan) = match args.target {
        Name::DoubleWell => double_well(args, &device),
        Name::Mixture40 => mixture40(args, &device),
        Name::Funnel => funnel(args, &device),
        Name::Phi4 => phi4(args, &device),
    }?;
    let seconds = start.elapsed().as_secs_f64();
    say!("time            {seconds:.1} s");
    report["target"] = value_name(args.target).into();
    (report["steps"], report["batch"]) = (plan.steps.into(), plan.batch.into());
    (report["seconds"], report["seed"]) = (seconds.into(), args.seed.into());
    Ok(files::write(
        &args.out.join("report.json"),
        "report",
        serde_json::to_string_pretty(&report)?,
    )?)
}

/// Checks the flags before anything is computed.
fn check(args: &Args) -> Result<(), Failure> {
    let fail = |flag, value: String, expected| Err(Failure::Argument { flag, value, expected });
    match args {
        Args { steps: Some(0), .. } => fail("steps", "0".into(), "at least 1"),
        Args { samples, .. } if *samples < 100 => {
            fail("samples", samples.to_string(), "at least 100")
        }
        Args { target, kappa, lambda, reference, .. }
            if *target != Name::Phi4
                && (kappa.is_some() || lambda.is_some() || reference.is_some()) =>
        {
            let expected = "phi4, for --kappa, --lambda and --reference";
            fail("target", value_name(*target), expected)
        }
        Args { reference: Some(reference), .. } if *reference < 1000 => {
            fail("reference", reference.to_string(), "at least 1000")
        }
        Args { kappa: Some(kappa), .. } if !(0.0..=1.0).contains(kappa) => {
            fail("kappa", kappa.to_string(), "a number in [0, 1]")
        }
        // Without the quartic term, the action has no lower bound at large κ.
        Args { lambda: Some(lambda), .. } if !(1e-3..=1.0).contains(lambda) => {
            fail("lambda", lambda.to_string(), "a number in [0.001, 1]")
        }
        _ => Ok(files::create(&args.out)?),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    threads::start();
    plane::report(check(&args).and_then(|()| run(&args)))
}
