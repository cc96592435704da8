//! What can be wrong with the state that an optimizer keeps for one parameter.

use burn::tensor::DType;

/// Why a part of an optimizer's state in a checkpoint cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateFault {
    /// Its name does not begin with the number of a float parameter.
    #[error("its number is that of no float parameter of the model")]
    Foreign,
    /// The number stored with it is not the number in its name.
    #[error("expected the number in its name, found {found:?}")]
    OtherNumber {
        /// The number stored with it.
        found: Option<u64>,
    },
    /// The optimizer has no part of that name.
    #[error("this optimizer keeps no state of this name")]
    Unknown,
    /// A part that the optimizer needs is missing.
    #[error("it is missing")]
    Missing,
    /// Its shape differs from that of the parameter.
    #[error("expected the shape of the parameter, {expected:?}, found {found:?}")]
    Shape {
        /// Shape of the parameter.
        expected: Vec<usize>,
        /// Shape that was found.
        found: Vec<usize>,
    },
    /// Its type differs from that of the parameter.
    #[error("expected elements of the parameter's type, {expected:?}, found {found:?}")]
    Type {
        /// Type of the parameter.
        expected: DType,
        /// Type that was found.
        found: DType,
    },
    /// Its number of axes differs from that of the parameter.
    #[error("expected the number of axes of the parameter, {expected}, found {found}")]
    Rank {
        /// Number of axes of the parameter.
        expected: usize,
        /// Number that was found.
        found: String,
    },
    /// A count of updates is outside its range.
    #[error("expected a number of updates from 1 to {most}, the updates of the run, found {found}")]
    Count {
        /// Number of updates of the run.
        most: u64,
        /// Count that was found.
        found: String,
    },
    /// It contains NaN or an infinity.
    #[error("it contains NaN or an infinity")]
    NonFinite,
    /// A mean of squares or a largest magnitude is negative.
    #[error("a mean of squares or a largest magnitude must not be negative, found {found}")]
    Negative {
        /// The first such value.
        found: f64,
    },
}
