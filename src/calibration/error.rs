//! Errors of diagnoses of calibration.

use crate::counted::counted;
use crate::error::{ConfigError, FlowError};

/// Why a diagnosis of calibration has no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The density could not be sampled, or a device failed.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// Too few rows.
    #[error("{what}: expected at least {}, found {found}", counted(*least, "row"))]
    TooFew {
        /// The tensor.
        what: &'static str,
        /// The least number of rows.
        least: usize,
        /// Number of rows that was found.
        found: usize,
    },
    /// Another number of rows or columns than in the other tensor.
    #[error("{what}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The tensor.
        what: &'static str,
        /// The shape that fits.
        expected: [usize; 2],
        /// The shape that was found.
        found: [usize; 2],
    },
    /// A number of observations that differs from that of the parameters.
    #[error(
        "expected observations for each of {} of parameters, found {found}",
        counted(*expected, "row")
    )]
    Observations {
        /// Number of rows of parameters.
        expected: usize,
        /// Number of observations.
        found: usize,
    },
    /// NaN or an infinity.
    #[error("{what}: expected finite numbers, found {found} in row {row}, column {column}")]
    NotFinite {
        /// The tensor.
        what: &'static str,
        /// The row, from 0.
        row: usize,
        /// The column, from 0.
        column: usize,
        /// The number.
        found: f64,
    },
    /// A column with a single value, which has no scale.
    #[error("{what}: expected at least two values in column {column}, found {value} in each row")]
    Constant {
        /// The tensor.
        what: &'static str,
        /// The column, from 0.
        column: usize,
        /// The value.
        value: f64,
    },
}
