//! From a CSV file to a density: fits a flow to the columns of a table, tests it on rows that it
//! has not seen, samples new rows, and scores the rows of another file.
//!
//! ```text
//! cargo run --release --example table -- --data rows.csv                       40 s of fit at most
//! cargo run --release --example table -- --data rows.csv --given kind          given a column
//! cargo run --release --example table -- --score out/table --data other.csv    one score a row
//! cargo run --release --example table -- --help                                everything else
//! ```
//! Expected last line: `report          out/table/report.json`. The folder then holds the report,
//! `samples.csv` with the header of the data, `corner.svg`, and the model: `model.json` and
//! `model.safetensors`. `--score` writes `scores.csv` to `--out`, with the log-density of each row
//! in nats; low ones are unusual rows.
//!
//! The learning rate falls to 0 with the last of `--epochs`. A fit that ends before, by `--seconds`
//! or `--patience`, ends at a higher rate: for a large table, raise `--seconds` or lower
//! `--epochs`.
//!
//! The nats of the test are the mean log-density of a row, in the units of the columns, and higher
//! is better. A flow that is not above the Gaussian has learned nothing beyond it.
//!
//! What it teaches: a table and the maps of its columns, a flow by name, columns of integers and
//! columns as a condition, a fit, a held-out likelihood beside that of a Gaussian, and a model that
//! is saved and used again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use clap::Parser;
use flowkit::data::Table;
use flowkit::data::table::{
    ColumnMaps, Conditions, CsvConfig, Feature, Missing, TableError, Values,
};
use flowkit::law::{MixLogCdfConfig, RationalQuadraticSplineConfig};
use flowkit::model::{LinearKind, MafConfig, MixedNsfConfig, NsfConfig, RealNvpConfig, RowElement};
use flowkit::train::fit::{FitConfig, FitSchedule};
use flowkit::{
    BoxBijector, Boxed, ColumnMap, ColumnsConfig, ConfigError, Context, Continuous, Conv1x1Init,
    Density, Features, Flow, FlowError, IntegerColumns, LayerConfig, LogLikelihood,
    NormalOrUniform, Surjection, Uninit,
};
use flowkit_runs::best::best_so_far;
use flowkit_runs::corner::{self, Set};
use flowkit_runs::gaussian::{Rows, mean_log_density};
use flowkit_runs::memory::{self, MiMalloc};
use flowkit_runs::plane::{self, Failure};
use flowkit_runs::rows::{self, columns, mean_and_error};
use flowkit_runs::table_args::{Args, ModelName};
use flowkit_runs::{files, saved_model, say, threads, value_name};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
        let couplings =
            RealNvpConfig::new(6).with_linear(LinearKind::NormAndMatrix(Conv1x1Init::Permutation));
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
#[serde(deny_unknown_fields)]
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
    fn numbers(&self, table: &Table) -> Result<Table, TableError> {
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

/// The rows as the Gaussian takes them: integers with the noise that the flow adds to them.
fn rows(table: &Table, model: &Model, device: &Device) -> Result<Rows, Failure> {
    let mut x = model.numbers(table)?.points(device)?;
    if let Some(integers) = model.maps.integers() {
        let integers = integers.build()?;
        let noise = integers.noise(&x, x.dtype());
        (x, _) = integers.lift(x, noise);
    }
    let conditions = model.conditions.as_ref();
    let given = conditions.map(|conditions| conditions.tensor(table, device)).transpose()?;
    Ok(Rows::new(&x, given.as_ref(), table.weights()))
}

/// Rows that are evaluated at a time.
const ROWS: usize = 1 << 15;

/// Log-densities of all rows of a table.
fn evaluate<C: Features<2>, S: Surjection<2, Data = Tensor<2>>>(
    flow: &TableFlow<C, S>,
    x: Tensor<2>,
    condition: &C,
) -> Result<LogLikelihood<S::Provenance>, FlowError> {
    let rows = x.dims()[0];
    let part = |start: usize| {
        let rows: Vec<usize> = (start..rows.min(start + ROWS)).collect();
        flow.given(&condition.select(&rows)).evaluate(Context::select(&x, &rows))
    };
    let mut all = part(0)?;
    for start in (ROWS..rows).step_by(ROWS) {
        all.extend(part(start)?);
    }
    Ok(all)
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
        let began = Instant::now();
        let fit = FitConfig::new()
            .with_epochs(args.epochs)
            .with_patience(args.patience)
            .with_seconds(Some(args.seconds))
            .with_batch_size(args.batch)
            .with_seed(args.seed)
            .with_learning_rate(2e-3)
            .with_schedule(FitSchedule::ToZero);
        // All that the rows can break is found before the fit.
        condition(test)?;
        let gaussian =
            mean_log_density(&rows(train, model, &device)?, &rows(test, model, &device)?)
                .ok_or_else(|| Failure::Argument {
                    flag: "columns",
                    value: model.maps.names().collect::<Vec<_>>().join(","),
                    expected: "columns of which none is a linear function of others",
                })?;
        let data = (model.numbers(train)?, condition(train)?);
        // The weights of the rows are those of the table.
        let fitted = fit.fit(flow, &data).or_else(best_so_far)?;
        say!("{}", fitted.report);
        let (flow, seconds) = (fitted.flow, began.elapsed().as_secs_f64());

        let x = model.numbers(test)?.points(&device)?;
        let nats = evaluate(&flow, x, &condition(test)?)?;
        let (mean, error) = mean_and_error(nats.nats(), test.weights());
        let parameters = flow.num_params();
        let shown = error.map_or(String::new(), |error| format!(" ± {error:.4}"));
        say!(
            "test            {mean:.4}{shown} nats a row ({}); a Gaussian {gaussian:.4}",
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
        files::write(&args.out.join("samples.csv"), "samples", &text)?;
        let data = columns(&model.numbers(test)?.points(&device)?);
        let sets =
            [Set { name: "data", columns: &data }, Set { name: "samples", columns: &samples }];
        let picture = corner::picture(&names, &sets, None)?;
        files::write(&args.out.join("corner.svg"), "corner plot", picture)?;
        let path = saved_model::weights(&args.out);
        flow.save(&path).map_err(flowkit::Error::from)?;
        say!("weights         {}", path.display());
        saved_model::write(&args.out, model)?;
        let report = json!({
            "test_nats": mean, "standard_error": error, "provenance": nats.provenance().to_string(),
            "gaussian_nats": gaussian, "seconds": seconds, "parameters": parameters,
            "end": fitted.report.end.to_string(),
            "train_rows": train.len(), "test_rows": test.len(), "seed": args.seed,
        });
        Ok(files::write(
            &args.out.join("report.json"),
            "report",
            serde_json::to_string_pretty(&report)?,
        )?)
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
        let flow = flow.load(saved_model::weights(self.folder));
        let flow = flow.map_err(flowkit::Error::from)?;
        let x = self.model.numbers(&self.table)?.points(&Device::flex())?;
        // Of the noise of integers.
        Device::flex().seed(self.args.seed);
        let nats = evaluate(&flow, x, &condition(&self.table)?)?;
        let mut text = String::from("log_density\n");
        for nats in nats.nats() {
            let _ = writeln!(text, "{nats}");
        }
        Ok(files::write(&self.args.out.join("scores.csv"), "scores", &text)?)
    }
}

/// The columns to describe: those of the flag, or all of numbers that nothing else names.
fn described(args: &Args, table: &Table) -> Vec<String> {
    if !args.columns.is_empty() {
        return args.columns.clone();
    }
    for column in table.columns() {
        let (name, is_text) = (&column.name, matches!(column.values, Values::Texts { .. }));
        if is_text && !args.given.contains(name) {
            say!("left out        {name}: text, which --columns or --given takes");
        }
    }
    let numbers = table.columns().iter().filter(|column| {
        matches!(column.values, Values::Numbers(_)) && !args.given.contains(&column.name)
    });
    numbers.map(|column| column.name.clone()).collect()
}

/// Reads a table with the weights of its rows.
fn read(args: &Args, path: &PathBuf) -> Result<Table, Failure> {
    let missing = if args.drop_missing { Missing::DropRows } else { Missing::Refuse };
    let mut config = CsvConfig::new().with_missing(missing);
    if !args.columns.is_empty() {
        config.columns =
            args.columns.iter().chain(&args.given).chain(&args.weights).cloned().collect();
    }
    let table = config.read(path)?;
    if table.dropped() > 0 {
        say!("left out        {} rows with missing values", table.dropped());
    }
    Ok(match &args.weights {
        Some(weights) => table.weighted_by(weights)?,
        None => table,
    })
}

/// The rows to fit, and those to test on.
fn parts(args: &Args, model: &Model, table: Table) -> Result<(Table, Table), Failure> {
    let Some(path) = &args.test else { return Ok(table.split(0.2, args.seed)?) };
    let test = read(args, path)?;
    model
        .numbers(&test)
        .map_err(|source| Failure::Within { path: path.clone(), source: Box::new(source) })?;
    Ok((table, test))
}

fn fit(args: &Args) -> Result<(), Failure> {
    if args.samples == 0 {
        let (flag, value, expected) = ("samples", "0".into(), "at least 1");
        return Err(Failure::Argument { flag, value, expected });
    }
    files::create(&args.out)?;
    let table = read(args, &args.data)?;
    // The maps are those of all rows, so that the bounds hold for those to test on.
    let mut numbers = table.select(&described(args, &table))?;
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
    numbers.check_maps(&maps)?;
    let given = !args.given.is_empty();
    let conditions = given.then(|| table.conditions(&args.given)).transpose()?;
    say!("{maps}");
    let layers = Layers::new(args.model, &maps)?;
    let model = Model { maps, classes, conditions, layers };
    let (train, test) = parts(args, &model, table)?;
    model.numbers(&train)?.check_varied()?;
    let unweighted = |weights: &[f64]| weights.iter().all(|weight| *weight == 0.0);
    if let Some(name) = args.weights.as_ref().filter(|_| test.weights().is_some_and(unweighted)) {
        let expected = "a column that is above 0 for a row to test on";
        return Err(Failure::Argument { flag: "weights", value: name.clone(), expected });
    }
    Device::flex().seed(args.seed);
    with_types(&model, &Fit { args, model: &model, train, test }, &Device::flex())
}

fn score(args: &Args, folder: &PathBuf) -> Result<(), Failure> {
    files::create(&args.out)?;
    let model: Model = saved_model::read(folder)?;
    let mut config = CsvConfig::new();
    let names = model.maps.names().chain(model.conditions.iter().flat_map(Conditions::names));
    config.columns = names.map(str::to_owned).collect();
    let features = model.conditions.iter().flat_map(|conditions| &conditions.features);
    // Text, whatever it looks like in this file.
    let text = features.filter(|feature| matches!(feature, Feature::Text { .. }));
    let text = text.map(|feature| feature.name().to_owned());
    config.text = text.chain(model.classes.keys().cloned()).collect();
    let table = config.read(&args.data)?;
    Device::flex().seed(args.seed);
    with_types(&model, &Score { args, model: &model, folder, table }, &Device::flex())
}

fn main() -> ExitCode {
    let args = Args::parse();
    memory::keep();
    threads::start();
    plane::report(match &args.score {
        Some(folder) => score(&args, folder),
        None => fit(&args),
    })
}
