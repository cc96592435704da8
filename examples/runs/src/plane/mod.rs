//! What the examples of points in a plane share: what can go wrong, files, the Gaussian that a flow
//! must beat, and the picture.

mod picture;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{f64::consts::PI, fs};

use burn::tensor::Tensor;
use flowkit::importance::ImportanceError;
use flowkit::train::TrainError;
use flowkit::{ConfigError, FlowError, ShapeError, whole_file};
use nalgebra::{Matrix2, Vector2};

pub use picture::{Row, Window, grid, picture};

use crate::{complain, say};

/// Everything that can end the example early.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The texts say it.
pub enum Failure {
    #[error("--{flag} {value}: must be {expected}")]
    Argument { flag: &'static str, value: String, expected: &'static str },
    /// The text contains that of the cause: `r#source`, instead of `source`, keeps thiserror from
    /// giving it once more.
    #[error("cannot write to {}: {source}", path.display())]
    Write { path: PathBuf, r#source: io::Error },
    #[error("cannot make the picture: {reason}")]
    Picture { reason: String },
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

/// Makes a folder and tries to write there, before anything is computed.
pub fn create(folder: &Path) -> Result<(), Failure> {
    let fail = |source| Failure::Write { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(fail)?;
    tempfile::tempfile_in(folder).map_err(fail)?;
    Ok(())
}

/// Writes a file, whole or not at all.
pub fn write(folder: &Path, name: &str, what: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    let fail = |source| Failure::Write { path: path.clone(), source };
    whole_file::write(&path, |file| file.write_all(text.as_bytes())).map_err(fail)?;
    say!("{what:<15} {}", path.display());
    Ok(())
}

/// The points of `x`, `[n, 2]`.
pub fn points(x: &Tensor<2>) -> Vec<[f64; 2]> {
    let numbers: Vec<f64> = x.clone().into_data().iter::<f64>().collect();
    numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()
}

/// Mean log-density of `test` under the normal distribution with mean and covariance of `train`, in
/// nats.
pub fn gaussian(train: &[[f64; 2]], test: &[[f64; 2]]) -> f64 {
    let n = train.len() as f64;
    let vector = |&[x, y]: &[f64; 2]| Vector2::new(x, y);
    let mean = train.iter().map(vector).sum::<Vector2<f64>>() / n;
    let outer = |point: &[f64; 2]| (vector(point) - mean) * (vector(point) - mean).transpose();
    let covariance = train.iter().map(outer).sum::<Matrix2<f64>>() / n;
    // Thousands of points with noise do not lie on a line.
    let precision = covariance.try_inverse().expect("points span the plane");
    let constant = -(2.0 * PI).ln() - 0.5 * covariance.determinant().ln();
    let log_prob = |point: &[f64; 2]| {
        let centred = vector(point) - mean;
        constant - 0.5 * (centred.transpose() * precision * centred)[0]
    };
    test.iter().map(log_prob).sum::<f64>() / test.len() as f64
}

/// Ends a program: an error is printed, with its causes in its text, and the exit code is not zero.
pub fn report(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    complain!("error: {failure}");
    ExitCode::FAILURE
}
