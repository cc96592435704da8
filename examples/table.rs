//! From a CSV file to a density: fits a flow to the columns of a table, tests it on rows that it
//! has not seen, samples new rows, and scores the rows of another file.
//!
//! ```text
//! cargo run --release --example table -- --data rows.csv                       40 seconds
//! cargo run --release --example table -- --data rows.csv --given kind          given a column
//! cargo run --release --example table -- --score out/table --data other.csv    one score a row
//! cargo run --release --example table -- --help                                everything else
//! ```
//! Expected last line: `report          out/table/report.json`. The folder then holds the report,
//! `samples.csv` with the header of the data, `corner.svg`, and the model: `model.json` and
//! `model.safetensors`. `--score` writes `scores.csv` to `--out`, with the log-density of each row
//! in nats; low ones are unusual rows.
//!
//! The nats of the test are the mean log-density of a row, in the units of the columns, and higher
//! is better. A flow that is not above the Gaussian has learned nothing beyond it.
//!
//! What it teaches: a table and the maps of its columns, a flow by name, columns of integers and
//! columns as a condition, a fit, a held-out likelihood beside that of a Gaussian, and a model that
//! is saved and used again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use clap::{Parser, ValueEnum};
use flowkit::data::Table;
use flowkit::data::table::{ColumnMaps, Conditions, CsvConfig, Missing, Values};
use flowkit::law::{MixLogCdfConfig, RationalQuadraticSplineConfig};
use flowkit::model::{LinearKind, MafConfig, MixedNsfConfig, NsfConfig, RealNvpConfig, RowElement};
use flowkit::train::fit::FitConfig;
use flowkit::{
    BoxBijector, Boxed, ColumnMap, ColumnsConfig, ConfigError, Continuous, Density, Features, Flow,
    IntegerColumns, LayerConfig, NormalOrUniform, Surjection, Uninit,
};
use flowkit_runs::corner::{self, Set};
use flowkit_runs::gaussian::{Rows, mean_log_density};
use flowkit_runs::plane::{self, Failure};
use flowkit_runs::rows::{self, columns, mean_and_error};
use flowkit_runs::{say, threads, value_name};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Parser)]
#[command(about = "A density of the rows of a CSV file: fit, test, sample, score")]
struct Args {
    /// The rows: a CSV file with a header; gzip is unpacked
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Rows to test on, instead of a fifth of the data
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// The columns to describe, separated by commas: numbers, or text, which is described as
    /// classes; by default all columns of numbers, without those of `--given` and `--weights`
    #[arg(long, value_delimiter = ',')]
    columns: Vec<String>,
    /// Columns that the density is conditional on: numbers or text, not among those described
    #[arg(long, value_delimiter = ',')]
    given: Vec<String>,
    /// A column with the weight of each row, 0 or more
    #[arg(long, value_name = "COLUMN")]
    weights: Option<String>,
    /// Columns that are treated as real numbers, whatever their values look like
    #[arg(long, value_delimiter = ',')]
    real: Vec<String>,
    /// Real columns above 0, of which the logarithm is taken
    #[arg(long, value_delimiter = ',')]
    positive: Vec<String>,
    /// Real columns between two bounds, which no value reaches: NAME=LOWER:UPPER
    #[arg(long, value_delimiter = ',', value_parser = bounds)]
    bounded: Vec<(String, f64, f64)>,
    /// Columns of positions on a circle, which begins and ends at two places: hour=0:24
    #[arg(long, value_delimiter = ',', value_parser = bounds)]
    circular: Vec<(String, f64, f64)>,
    /// Leave out rows with a missing value
    #[arg(long)]
    drop_missing: bool,
    /// The flow
    #[arg(long, default_value = "nsf")]
    model: ModelName,
    /// Largest number of epochs
    #[arg(long, default_value_t = 200)]
    epochs: u64,
    /// Largest time of the fit, in seconds; it ends before if the held-out rows stop gaining
    #[arg(long, default_value_t = 40.0)]
    seconds: f64,
    /// Rows of an update
    #[arg(long, default_value_t = 256)]
    batch: usize,
    /// Samples to write
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/table")]
    out: PathBuf,
    /// Score the rows of the data with the model in this folder; nothing is fitted
    #[arg(long, value_name = "DIR")]
    score: Option<PathBuf>,
}

/// `NAME=LOWER:UPPER`.
fn bounds(text: &str) -> Result<(String, f64, f64), String> {
    let parts = text.rsplit_once('=').and_then(|(name, ends)| {
        let (lower, upper) = ends.split_once(':')?;
        Some((name.to_owned(), lower.parse().ok()?, upper.parse().ok()?))
    });
    parts.ok_or_else(|| "expected NAME=LOWER:UPPER, such as share=0:1".into())
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelName {
    /// Neural spline flow, couplings
    Nsf,
    /// Autoregressive splines
    Maf,
    /// Affine couplings
    Realnvp,
    /// Couplings of logistic mixtures, as in Flow++
    Mixture,
}

/// The layers after those of the columns.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Layers {
    Nsf(NsfConfig),
    Mixed(MixedNsfConfig),
    Maf(MafConfig),
    RealNvp(RealNvpConfig),
}

impl Layers {
    /// The layers of this name. Circles and classes need splines of their own.
    fn new(name: ModelName, maps: &ColumnMaps) -> Result<Self, Failure> {
        let mixed = MixedNsfConfig::of_columns(&maps.layer());
        if mixed.elements.iter().any(|element| *element != RowElement::Real) {
            return match name {
                ModelName::Nsf => Ok(Self::Mixed(mixed)),
                _ => Err(Failure::Argument {
                    flag: "model",
                    value: value_name(name),
                    expected: "nsf, since a column is circular or text",
                }),
            };
        }
        let couplings = RealNvpConfig::new(6).with_linear(LinearKind::NormAndMatrix);
        Ok(match name {
            ModelName::Nsf => Self::Nsf(NsfConfig::new(5)),
            ModelName::Maf => {
                let spline = RationalQuadraticSplineConfig::new(8);
                Self::Maf(MafConfig::new(5).with_law(spline.into()))
            }
            ModelName::Realnvp => Self::RealNvp(couplings),
            ModelName::Mixture => Self::RealNvp(couplings.with_law(MixLogCdfConfig::new(8).into())),
        })
    }
}

/// All that the file of weights does not say.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Model {
    maps: ColumnMaps,
    /// The classes of columns of text.
    classes: BTreeMap<String, Vec<String>>,
    conditions: Option<Conditions>,
    layers: Layers,
}

type TableFlow<C, S> = Flow<BoxBijector<2, C>, NormalOrUniform, 2, C, S>;

impl Model {
    /// The flow, not yet initialised, given a condition like `example`.
    fn flow<C: Features<2>>(
        &self,
        example: &C,
        device: &Device,
    ) -> Result<Uninit<TableFlow<C, Continuous>>, ConfigError> {
        fn build<C: Features<2>, L: LayerConfig<2, C>>(
            columns: ColumnsConfig,
            layers: L,
            example: &C,
            device: &Device,
        ) -> Result<Uninit<TableFlow<C, Continuous>>, ConfigError>
        where
            L::Layer: Sync,
        {
            let (dims, prior) = (columns.maps.len(), MixedNsfConfig::of_columns(&columns).prior());
            Flow::build_given(&Boxed::new((columns, layers)), prior, [1, dims], example, device)
        }
        let columns = self.maps.layer();
        match &self.layers {
            Layers::Nsf(layers) => build(columns, layers.clone(), example, device),
            Layers::Mixed(layers) => build(columns, layers.clone(), example, device),
            Layers::Maf(layers) => build(columns, layers.clone(), example, device),
            Layers::RealNvp(layers) => build(columns, layers.clone(), example, device),
        }
    }

    /// The columns that the flow describes, in its order, as numbers.
    fn numbers(&self, table: &Table) -> Result<Table, Failure> {
        let mut numbers = table.select(&self.maps.names().collect::<Vec<_>>())?;
        for (name, classes) in &self.classes {
            numbers = numbers.coded(name, classes)?;
        }
        numbers.check_maps(&self.maps)?;
        Ok(numbers)
    }
}

/// What a run does with a flow of any condition and any surjection.
trait Job {
    fn run<C, S>(
        &self,
        flow: Uninit<TableFlow<C, S>>,
        condition: impl Fn(&Table) -> Result<C, Failure>,
    ) -> Result<(), Failure>
    where
        C: Features<2>,
        S: Surjection<2, Data = Tensor<2>>;
}

/// Runs a job with the types that the model asks for.
fn with_types(model: &Model, job: &impl Job, device: &Device) -> Result<(), Failure> {
    fn with_condition<C: Features<2>>(
        model: &Model,
        job: &impl Job,
        example: &C,
        condition: impl Fn(&Table) -> Result<C, Failure>,
        device: &Device,
    ) -> Result<(), Failure> {
        let flow = model.flow(example, device)?;
        match model.maps.integers() {
            Some(integers) => {
                let integers: IntegerColumns = integers.build()?;
                job.run(flow.behind(integers), condition)
            }
            None => job.run(flow, condition),
        }
    }
    match &model.conditions {
        Some(conditions) => {
            let example = Tensor::<2>::zeros([1, conditions.width()], device);
            let condition = |table: &Table| Ok(conditions.tensor(table, device)?);
            with_condition(model, job, &example, condition, device)
        }
        None => with_condition(model, job, &(), |_| Ok(()), device),
    }
}

/// The rows as the Gaussian takes them.
fn rows(table: &Table, model: &Model, device: &Device) -> Result<Rows, Failure> {
    let matrix = |x: Tensor<2>| {
        let [rows, columns] = x.dims();
        let values: Vec<f64> = x.into_data().iter::<f64>().collect();
        DMatrix::from_row_slice(rows, columns, &values)
    };
    let mut rows = Rows::plain(matrix(model.numbers(table)?.points(device)?));
    if let Some(conditions) = &model.conditions {
        rows.given = matrix(conditions.tensor(table, device)?);
    }
    if let Some(weights) = table.weights() {
        rows.weights = weights.to_vec();
    }
    Ok(rows)
}

/// Fits, tests, samples, saves.
struct Fit<'a> {
    args: &'a Args,
    model: &'a Model,
    train: Table,
    test: Table,
}

impl Job for Fit<'_> {
    fn run<C, S>(
        &self,
        flow: Uninit<TableFlow<C, S>>,
        condition: impl Fn(&Table) -> Result<C, Failure>,
    ) -> Result<(), Failure>
    where
        C: Features<2>,
        S: Surjection<2, Data = Tensor<2>>,
    {
        let Self { args, model, train, test } = self;
        let device = Device::flex();
        // Before the fit: it is the first to find columns that follow from others.
        let gaussian =
            mean_log_density(&rows(train, model, &device)?, &rows(test, model, &device)?)
                .ok_or_else(|| Failure::Argument {
                    flag: "columns",
                    value: args.columns.join(","),
                    expected: "columns of which none is a linear function of others",
                })?;
        let began = Instant::now();
        let fit = FitConfig::new()
            .with_epochs(args.epochs)
            .with_seconds(Some(args.seconds))
            .with_batch_size(args.batch)
            .with_seed(args.seed)
            .with_learning_rate(2e-3);
        let data = (model.numbers(train)?, condition(train)?);
        // The weights of the rows are those of the table.
        let fitted = fit.fit(flow, &data).map_err(flowkit::Error::from)?;
        say!("{}", fitted.report);
        let (flow, seconds) = (fitted.flow, began.elapsed().as_secs_f64());

        let given = condition(test)?;
        let nats = flow.given(&given).evaluate(model.numbers(test)?.points(&device)?)?;
        let (mean, error) = mean_and_error(nats.nats(), test.weights());
        let parameters = flow.num_params();
        say!(
            "test            {mean:.4} ± {error:.4} nats a row ({}); a Gaussian {gaussian:.4}",
            nats.provenance()
        );

        // Samples given the conditions of test rows, over and over.
        let order: Vec<usize> = (0..args.samples).map(|row| row % test.len()).collect();
        let like = test.rows(&order);
        device.seed(args.seed);
        let samples = flow.given(&condition(&like)?).sample(args.samples)?;
        let samples = columns(&samples);
        let names: Vec<&str> = model.maps.names().collect();
        let sampled = names.iter().copied().zip(samples.iter().map(Vec::as_slice)).collect();
        let kept: Vec<&str> = model.conditions.iter().flat_map(Conditions::names).collect();
        let text = rows::csv(&like, &sampled, &model.classes, &kept)?;
        plane::write(&args.out, "samples.csv", "samples", &text)?;
        let data = columns(&model.numbers(test)?.points(&device)?);
        let sets =
            [Set { name: "data", columns: &data }, Set { name: "samples", columns: &samples }];
        plane::write(&args.out, "corner.svg", "corner plot", &corner::picture(&names, &sets)?)?;
        let description = serde_json::to_string_pretty(model)?;
        plane::write(&args.out, "model.json", "model", &description)?;
        let path = args.out.join("model.safetensors");
        flow.save(&path).map_err(flowkit::Error::from)?;
        say!("weights         {}", path.display());
        let report = json!({
            "test_nats": mean, "standard_error": error, "provenance": nats.provenance().to_string(),
            "gaussian_nats": gaussian, "seconds": seconds, "parameters": parameters,
            "train_rows": train.len(), "test_rows": test.len(), "seed": args.seed,
        });
        plane::write(&args.out, "report.json", "report", &serde_json::to_string_pretty(&report)?)
    }
}

/// Writes the log-density of each row.
struct Score<'a> {
    args: &'a Args,
    model: &'a Model,
    folder: &'a PathBuf,
    table: Table,
}

impl Job for Score<'_> {
    fn run<C, S>(
        &self,
        flow: Uninit<TableFlow<C, S>>,
        condition: impl Fn(&Table) -> Result<C, Failure>,
    ) -> Result<(), Failure>
    where
        C: Features<2>,
        S: Surjection<2, Data = Tensor<2>>,
    {
        let flow = flow.load(self.folder.join("model.safetensors"));
        let flow = flow.map_err(flowkit::Error::from)?;
        let x = self.model.numbers(&self.table)?.points(&Device::flex())?;
        // Of the noise of integers.
        Device::flex().seed(self.args.seed);
        let nats = flow.given(&condition(&self.table)?).evaluate(x)?;
        let mut text = String::from("log_density\n");
        for nats in nats.nats() {
            let _ = writeln!(text, "{nats}");
        }
        plane::write(&self.args.out, "scores.csv", "scores", &text)
    }
}

/// The columns to describe: those of the flag, or all of numbers that nothing else names.
fn described(args: &Args, table: &Table) -> Vec<String> {
    if !args.columns.is_empty() {
        return args.columns.clone();
    }
    let numbers = table.columns().iter().filter(|column| {
        matches!(column.values, Values::Numbers(_)) && !args.given.contains(&column.name)
    });
    numbers.map(|column| column.name.clone()).collect()
}

fn read(args: &Args, path: &PathBuf) -> Result<Table, Failure> {
    let missing = if args.drop_missing { Missing::DropRows } else { Missing::Refuse };
    let mut config = CsvConfig::new().with_missing(missing);
    if !args.columns.is_empty() {
        config.columns =
            args.columns.iter().chain(&args.given).chain(&args.weights).cloned().collect();
    }
    let table = config.read(path)?;
    let table = match &args.weights {
        Some(weights) => table.weighted_by(weights)?,
        None => table,
    };
    if table.dropped() > 0 {
        say!("left out        {} rows with missing values", table.dropped());
    }
    Ok(table)
}

fn fit(args: &Args) -> Result<(), Failure> {
    plane::create(&args.out)?;
    let device = Device::flex();
    let table = read(args, &args.data)?;
    let (train, test) = match &args.test {
        Some(path) => (table, read(args, path)?),
        None => table.split(0.2, args.seed)?,
    };
    let mut numbers = train.select(&described(args, &train))?;
    let mut classes = BTreeMap::new();
    for column in numbers.clone().columns() {
        if let Values::Texts { names, .. } = &column.values {
            numbers = numbers.coded(&column.name, names)?;
            classes.insert(column.name.clone(), names.clone());
        }
    }
    let mut maps = numbers.column_maps()?;
    for name in &args.real {
        numbers.set_map(&mut maps, name, ColumnMap::real())?;
    }
    for name in &args.positive {
        numbers.set_map(&mut maps, name, ColumnMap::positive(0.0))?;
    }
    for (name, lower, upper) in &args.circular {
        numbers.set_map(&mut maps, name, ColumnMap::circular(*lower, *upper))?;
    }
    for (name, names) in &classes {
        numbers.set_integer_map(&mut maps, name, ColumnMap::class(names.len()))?;
    }
    for (name, lower, upper) in &args.bounded {
        numbers.set_map(&mut maps, name, ColumnMap::bounded(*lower, *upper))?;
    }
    let conditions =
        if args.given.is_empty() { None } else { Some(train.conditions(&args.given)?) };
    say!("{maps}");
    let layers = Layers::new(args.model, &maps)?;
    let model = Model { maps, classes, conditions, layers };
    device.seed(args.seed);
    with_types(&model, &Fit { args, model: &model, train, test }, &device)
}

fn score(args: &Args, folder: &PathBuf) -> Result<(), Failure> {
    plane::create(&args.out)?;
    let path = folder.join("model.json");
    let text = fs::read_to_string(&path).map_err(|source| {
        flowkit::Error::from(flowkit::data::table::TableError::Io { path: path.clone(), source })
    })?;
    let model: Model =
        serde_json::from_str(&text).map_err(|source| Failure::Description { path, source })?;
    let table = read(args, &args.data)?;
    with_types(&model, &Score { args, model: &model, folder, table }, &Device::flex())
}

fn main() -> ExitCode {
    let args = Args::parse();
    threads::start();
    plane::report(match &args.score {
        Some(folder) => score(&args, folder),
        None => fit(&args),
    })
}
