//! What the examples of points in a plane share: what can go wrong, the Gaussian that a flow
//! must beat, and the picture.

mod picture;

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Tensor;
use flowkit::data::table::TableError;
use flowkit::importance::ImportanceError;
use flowkit::train::TrainError;
use flowkit::{ConfigError, FlowError, ShapeError};
use nalgebra::DMatrix;

pub use picture::{Row, Window, grid, picture};

use crate::complain;
use crate::corner::NotDrawn;
use crate::files::NotWritten;
use crate::gaussian::{Rows, mean_log_density};

/// Everything that can end the example early.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The texts say it.
pub enum Failure {
    #[error("--{flag} {value}: must be {expected}")]
    Argument { flag: &'static str, value: String, expected: &'static str },
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
    #[error("cannot make the picture: {reason}")]
    Picture { reason: String },
    #[error(transparent)]
    NotDrawn(#[from] NotDrawn),
    /// Of flowkit, with its own text.
    #[error(transparent)]
    Flowkit(#[from] flowkit::Error),
    #[error(transparent)]
    Table(#[from] TableError),
    /// The text contains that of the cause: `r#source`, instead of `source`, keeps thiserror from
    /// giving it once more.
    #[error("{}: {source}", path.display())]
    Within { path: PathBuf, r#source: Box<TableError> },
    #[error("{}: {source}", path.display())]
    Description { path: PathBuf, r#source: serde_json::Error },
    #[error(
        "{}: not the weights that `model.json` beside it was written with; fit again",
        path.display()
    )]
    OtherWeights { path: PathBuf },
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Model(#[from] ConfigError),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error(transparent)]
    Importance(#[from] ImportanceError),
    #[error(transparent)]
    Training(#[from] TrainError),
}

/// The points of `x`, `[n, 2]`.
pub fn points(x: &Tensor<2>) -> Vec<[f64; 2]> {
    let numbers: Vec<f64> = x.clone().into_data().iter::<f64>().collect();
    numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()
}

/// Mean log-density of `test` under the normal distribution with mean and covariance of `train`, in
/// nats.
pub fn gaussian(train: &[[f64; 2]], test: &[[f64; 2]]) -> f64 {
    let rows =
        |points: &[[f64; 2]]| Rows::plain(DMatrix::from_fn(points.len(), 2, |i, j| points[i][j]));
    // Thousands of points with noise do not lie on a line.
    mean_log_density(&rows(train), &rows(test)).expect("points span the plane")
}

/// Ends a program: an error is printed, with its causes in its text, and the exit code is not zero.
pub fn report(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    complain!("error: {failure}");
    ExitCode::FAILURE
}
