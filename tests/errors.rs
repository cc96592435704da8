//! The errors of the crate: each converts to `flowkit::Error` with its own text.

use std::error::Error as StdError;
use std::path::PathBuf;

use flowkit::calibration::CalibrationError;
use flowkit::data::DataError;
use flowkit::data::table::TableError;
use flowkit::flow::diagnose::PlotError;
use flowkit::flow::{FailedRow, RowFault};
use flowkit::importance::ImportanceError;
use flowkit::model::UnknownPreset;
use flowkit::model::glow::GlowPreset;
use flowkit::state_dict::StateDictError;
use flowkit::testing::{Check, ConformanceError, Failure, Fault, Setting};
use flowkit::train::fit::FitDataError;
use flowkit::train::{CheckpointError, FitError, TrainError};
use flowkit::{
    ActNorm, CapacityError, ConfigError, Error, Flow, FlowError, NonFiniteContext, ShapeError,
    StandardNormal,
};

type Plain = Flow<ActNorm<2>, StandardNormal, 2>;

/// What `?` makes of an error, in a program that returns `flowkit::Result`.
fn raised<E: StdError>(error: E) -> (String, Error)
where
    Error: From<E>,
{
    let fails = |error: E| -> flowkit::Result<()> { Err(error)? };
    (error.to_string(), fails(error).unwrap_err())
}

/// Checks that an error becomes the variant, and keeps its text.
macro_rules! becomes {
    ($($variant:pat => $error:expr),+ $(,)?) => {$(
        let (text, error) = raised($error);
        assert!(matches!(error, $variant), "{error:?}");
        assert_eq!(error.to_string(), text);
        // What a `main` that returns the error prints.
        assert_eq!(format!("{error:?}"), text);
    )+};
}

fn setting() -> Setting {
    Setting {
        dtype: burn::tensor::DType::F32,
        region: flowkit::testing::Region::Ordinary,
        batch: 2,
        seed: 1,
    }
}

fn failure() -> Failure {
    Failure {
        check: Check::Shapes,
        setting: setting(),
        fault: Box::new(Fault::Panicked("overflow".into())),
    }
}

#[test]
fn every_error_converts() {
    let zero = || ConfigError::Zero { config: "MlpConfig", field: "hidden" };
    let capacity = || CapacityError::TooMany { what: "n", most: 1, found: 2 };
    let lengths = || FitDataError::Lengths { what: "weights", expected: 3, found: 2 };
    let path = || PathBuf::from("weights.npz");
    let io = || std::io::Error::other("the disk");
    let fault = RowFault::Input { count: 1, total: 2 };
    becomes! {
        Error::Shape(_) => ShapeError::Rank { layer: "Squeeze", expected: 4, shape: vec![1, 2] },
        Error::Config(_) => zero(),
        Error::Config(_) => ConfigError::EmptyInterval {
            config: "UniformBoxConfig",
            element: 3,
            lower: 1.0,
            upper: -1.0,
        },
        Error::Capacity(_) => capacity(),
        Error::Flow(_) => FlowError::Capacity(capacity()),
        Error::Flow(_) => NonFiniteContext::new(Some(1)),
        Error::Train(_) => TrainError::NoGraph,
        Error::Checkpoint(_) => CheckpointError::ReservedKey { key: "trainer".into() },
        Error::StateDict(_) => StateDictError::Read { path: path(), source: io() },
        Error::StateDict(_) => StateDictError::Write { path: path(), source: io() },
        Error::StateDict(_) => {
            StateDictError::Malformed { path: path(), format: "npz", reason: "cut".into() }
        },
        Error::StateDict(_) => {
            StateDictError::Unsupported { path: path(), format: "npz", reason: "object".into() }
        },
        Error::StateDict(_) => StateDictError::Unrecognized { path: path() },
        Error::Data(_) => DataError::PixelCount { expected: 3, found: 4 },
        Error::Table(_) => TableError::NoColumns,
        Error::Calibration(_) => {
            CalibrationError::Observations { expected: 2, found: 3 }
        },
        Error::FitData(_) => lengths(),
        Error::Config(_) => FitError::<Plain>::Config(zero()),
        Error::FitData(_) => FitError::<Plain>::Data(lengths()),
        Error::Flow(_) => FitError::<Plain>::Flow(FlowError::Capacity(capacity())),
        Error::Train(_) => FitError::<Plain>::Train(TrainError::NoGraph),
        Error::Importance(_) => ImportanceError::AllZero { samples: 3 },
        Error::Preset(UnknownPreset { .. }) => "huge".parse::<GlowPreset>().unwrap_err(),
        Error::Plot(_) => PlotError { path: "layers.svg".into(), reason: "disk full".into() },
        Error::Conformance(_) => ConformanceError { name: "A".into(), failures: vec![failure()] },
        Error::Check(_) => failure(),
        Error::Io(_) => std::io::Error::other("the disk"),
    }
    // The text of a failed row is that of the evaluation.
    let (_, error) = raised(FailedRow { row: 7, fault });
    let Error::Flow(found) = error else { panic!("{error}") };
    assert_eq!(found, FlowError::NonFiniteInput { count: 1, total: 2, example: 7 });
}

#[test]
fn a_count_of_one_is_singular() {
    let row = |expected| FitDataError::Lengths { what: "weights", expected, found: 3 };
    let found = |fault: RowFault| FailedRow { row: 0, fault }.to_string();
    for (text, expected) in [
        (row(1).to_string(), "weights: expected 1 row, one for each example, found 3"),
        (row(2).to_string(), "weights: expected 2 rows, one for each example, found 3"),
        (
            found(RowFault::Input { count: 1, total: 1 }),
            "row 0: the input is not finite: 1 of 1 element",
        ),
        (
            FlowError::NoWeight { examples: 1 }.to_string(),
            "expected a positive weight among those of 1 example, found none",
        ),
        (
            ConfigError::Length { config: "Config", field: "order", expected: 1, found: 2 }
                .to_string(),
            "Config: `order` must have 1 entry, found 2",
        ),
        (
            DataError::LabelCount { expected: 1, found: 0 }.to_string(),
            "expected 1 label, one for each image, found 0",
        ),
    ] {
        assert_eq!(text, expected);
    }
}
