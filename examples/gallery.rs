//! Eight shapes of points in a plane, each learned with some laws, as one picture of densities.
//!
//! ```text
//! cargo run --release --example gallery                        affine couplings and splines
//! cargo run --release --example gallery -- --laws all          all five laws, some minutes
//! cargo run --release --example gallery -- --steps 3000        sharper densities
//! ```
//! Expected last line: `report          out/gallery/report.json`. For each shape and law, the
//! report has the mean log-density of a point that was not trained on, in nats, and the integral of
//! the density over the square of ±24, by grids that are refined until they change it by less than
//! 2e-5: it is 1, but for this error and the mass outside.
//!
//! What it teaches: what each law can represent with few couplings, and that a flow is a density
//! whatever it has learned: it integrates to 1.

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::{Device, Int, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use flowkit::data::Plane;
use flowkit::law::{
    AffineConfig, AffineForm, AnyLawConfig, BernsteinConfig, GaussianizationConfig,
    MixLogCdfConfig, RationalQuadraticSplineConfig,
};
use flowkit::model::RealNvpConfig;
use flowkit::train::fit::{FitConfig, Progress};
use flowkit::{Density, Flow, FlowError, StandardNormal};
use flowkit_runs::best::best_so_far;
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::plane::{self, Failure};
use flowkit_runs::{files, say, threads, value_name};
use plotters::prelude::*;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Eight shapes in a plane: densities of flows of some laws, and their integrals")]
struct Args {
    /// Updates of each fit
    #[arg(long, default_value_t = 150)]
    steps: u64,
    /// The laws of the couplings, separated by commas
    #[arg(long, value_delimiter = ',', default_values = ["affine", "spline"])]
    laws: Vec<LawName>,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/gallery")]
    out: PathBuf,
}

/// A law of the plane. A circular spline is for circles.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum LawName {
    /// A scale and a shift
    Affine,
    /// The mixture of logistic distributions of Flow++
    Mixture,
    /// The quantiles of a mixture
    Gaussianization,
    /// A polynomial
    Bernstein,
    /// A rational-quadratic spline
    Spline,
    /// Each of them
    All,
}

impl LawName {
    /// The laws that it names.
    fn configs(self) -> Vec<(String, AnyLawConfig)> {
        let law = match self {
            Self::Affine => AffineConfig::new(AffineForm::Exponential).into(),
            Self::Mixture => MixLogCdfConfig::new(8).into(),
            Self::Gaussianization => GaussianizationConfig::new(8).into(),
            Self::Bernstein => BernsteinConfig::new(16).with_bound(4.0).into(),
            Self::Spline => RationalQuadraticSplineConfig::new(16).with_bound(4.0).into(),
            Self::All => {
                let others = Self::value_variants().iter().filter(|name| **name != Self::All);
                return others.flat_map(|name| name.configs()).collect();
            }
        };
        vec![(value_name(self), law)]
    }
}

/// The part of the plane that is drawn: ±this.
const SIDE: f64 = 4.5;
/// Cells of a picture along each axis.
const CELLS: usize = 90;
/// Side of a picture, in pixels.
const PANEL: u32 = 150;

/// Middles of `n` by `n` cells of the square of ±`side`, row by row: `[n², 2]`.
fn grid(n: usize, side: f64, device: &Device) -> Tensor<2> {
    let middle = |cell: usize| side * ((2 * cell + 1) as f64 / n as f64 - 1.0);
    let cells = (0..n).flat_map(|y| (0..n).flat_map(move |x| [middle(x), middle(y)]));
    Tensor::from_data(TensorData::new(cells.collect::<Vec<_>>(), [n * n, 2]), device)
}

/// The density at each of some points, many at a time.
fn density(
    flow: &impl Density<Data = Tensor<2>>,
    points: Tensor<2>,
) -> Result<Vec<f64>, FlowError> {
    let mut densities = Vec::new();
    for part in points.split(1 << 15, 0) {
        densities.extend(flow.evaluate(part)?.nats().iter().map(|nats| nats.exp()));
    }
    Ok(densities)
}

/// The integral of the density over ±24: within ±6 and around that, each on grids that are halved
/// until that changes it by less than 2e-5.
fn integral(flow: &impl Density<Data = Tensor<2>>, device: &Device) -> Result<f64, FlowError> {
    const INNER: f64 = 6.0;
    const OUTER: f64 = 24.0;
    let over = |points: Tensor<2>, cell: f64| {
        Ok::<f64, FlowError>(density(flow, points)?.iter().sum::<f64>() * cell * cell)
    };
    let inside = refined(160, |n| over(grid(n, INNER, device), 2.0 * INNER / n as f64))?;
    let outside = refined(160, |n| {
        let frame = grid(n, OUTER, device);
        let far = (0i64..).zip(plane::points(&frame));
        let far = far.filter(|(_, [x, y])| x.abs().max(y.abs()) > INNER);
        let rows: Vec<i64> = far.map(|(row, _)| row).collect();
        let rows = Tensor::<1, Int>::from_data(rows.as_slice(), device);
        over(frame.select(0, rows), 2.0 * OUTER / n as f64)
    })?;
    Ok(inside + outside)
}

/// An integral on grids of `n` cells a side, `2n` and so on up to 1280, until one more changes it
/// by less than 2e-5.
fn refined(
    mut n: usize,
    of_grid: impl Fn(usize) -> Result<f64, FlowError>,
) -> Result<f64, FlowError> {
    let mut found = of_grid(n)?;
    while n < 1000 {
        n *= 2;
        let finer = of_grid(n)?;
        let change = (finer - found).abs();
        found = finer;
        if change < 2e-5 {
            break;
        }
    }
    Ok(found)
}

fn run(args: &Args) -> Result<(), Failure> {
    files::create(&args.out)?;
    let device = Device::flex();
    let laws: Vec<(String, AnyLawConfig)> =
        args.laws.iter().flat_map(|name| name.configs()).collect();
    let (mut pictures, mut report) = (Vec::new(), Vec::<Value>::new());
    for plane in Plane::ALL {
        let train = plane.points(20_000, args.seed, &device);
        let test = plane.points(4000, args.seed.wrapping_add(1), &device);
        let mut row = vec![(format!("{plane:?}"), None)];
        for (name, law) in &laws {
            device.seed(args.seed);
            let layers = RealNvpConfig::new(6).with_law(law.clone());
            let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &device)?;
            let fit = FitConfig::new()
                .with_steps(Some(args.steps))
                .with_learning_rate(3e-3)
                .with_seed(args.seed)
                .with_progress(Progress::None);
            let fitted = fit.fit(flow, &train).or_else(best_so_far)?;
            let nats = fitted.flow.evaluate(test.clone())?.mean();
            let total = integral(&fitted.flow, &device)?;
            say!(
                "{:<15} {name:<15} {nats}; the density integrates to {total:.5}",
                format!("{plane:?}")
            );
            report.push(json!({
                "plane": plane, "law": name, "test_nats": nats.mean(),
                "standard_error": nats.standard_error(), "integral": total,
            }));
            let shades = density(&fitted.flow, grid(CELLS, SIDE, &device))?;
            row.push((format!("{name} {:.2}", nats.mean()), Some(shades)));
        }
        let points = plane::points(&test.narrow(0, 0, 1500));
        pictures.push((points, row));
    }
    files::write(&args.out.join("gallery.svg"), "picture", picture(&pictures)?)?;
    let report = serde_json::to_string_pretty(&report)?;
    Ok(files::write(&args.out.join("report.json"), "report", &report)?)
}

/// A row of pictures: the points, and the caption and the density of each.
type Row = (Vec<[f64; 2]>, Vec<(String, Option<Vec<f64>>)>);

fn picture(rows: &[Row]) -> Result<String, Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::Picture { reason: error.to_string() };
    let columns = rows.first().map_or(0, |(_, row)| row.len());
    let mut svg = String::new();
    {
        let size = (columns as u32 * PANEL, rows.len() as u32 * (PANEL + 20));
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(|error| fail(&error))?;
        for ((points, row), line) in rows.iter().zip(root.split_evenly((rows.len(), 1))) {
            for ((caption, density), area) in row.iter().zip(line.split_evenly((1, columns))) {
                let mut chart = ChartBuilder::on(&area)
                    .caption(caption, ("sans-serif", 13))
                    .margin(3)
                    .build_cartesian_2d(-SIDE..SIDE, -SIDE..SIDE)
                    .map_err(|error| fail(&error))?;
                match density {
                    None => {
                        let dots = points
                            .iter()
                            .map(|&[x, y]| Circle::new((x, y), 1, BLUE.mix(0.5).filled()));
                        chart.draw_series(dots).map_err(|error| fail(&error))?;
                    }
                    Some(density) => {
                        let highest = density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
                        let width = 2.0 * SIDE / CELLS as f64;
                        let cells = density.iter().enumerate().filter_map(|(cell, &value)| {
                            // The root shows low densities too; nearly white cells are left out.
                            let shade = (value / highest).sqrt();
                            let at = |index: usize| index as f64 * width - SIDE;
                            let (x, y) = (at(cell % CELLS), at(cell / CELLS));
                            (shade > 0.04).then(|| {
                                let corners = [(x, y), (x + width, y + width)];
                                Rectangle::new(corners, BLUE.mix(shade).filled())
                            })
                        });
                        chart.draw_series(cells).map_err(|error| fail(&error))?;
                    }
                }
            }
        }
        root.present().map_err(|error| fail(&error))?;
    }
    Ok(svg)
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    threads::start();
    let checked = if args.steps == 0 {
        Err(Failure::Argument { flag: "steps", value: "0".into(), expected: "at least 1" })
    } else {
        run(&args)
    };
    plane::report(checked)
}
