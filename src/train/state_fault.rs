//! What can be wrong with the state that an optimizer keeps for one parameter.

use burn::tensor::DType;

/// Why a part of an optimizer's state in a checkpoint cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateFault {
    /// Its name does not begin with the number of a float parameter.
    #[error("belongs to no float parameter of the model")]
    Foreign,
    /// The number stored with it is not the number in its name.
    #[error("carries the number {found:?}, which is not that of its name")]
    OtherNumber {
        /// The number stored with it.
        found: Option<u64>,
    },
    /// The optimizer has no part of that name.
    #[error("is no part of the state that this optimizer keeps")]
    Unknown,
    /// A part that the optimizer needs is missing.
    #[error("is missing")]
    Missing,
    /// Its shape differs from that of the parameter.
    #[error("has the shape {found:?}, its parameter {expected:?}")]
    Shape {
        /// Shape of the parameter.
        expected: Vec<usize>,
        /// Shape that was found.
        found: Vec<usize>,
    },
    /// Its type differs from that of the parameter.
    #[error("holds elements of type {found:?}, its parameter {expected:?}")]
    Type {
        /// Type of the parameter.
        expected: DType,
        /// Type that was found.
        found: DType,
    },
    /// Its number of axes differs from that of the parameter.
    #[error("is {found}, its parameter has {expected} axes")]
    Rank {
        /// Number of axes of the parameter.
        expected: usize,
        /// Number that was found.
        found: String,
    },
    /// A count of updates is outside its range.
    #[error("is {found}; the updates of a parameter are 1 to the {most} of the run")]
    Count {
        /// Number of updates of the run.
        most: u64,
        /// Count that was found.
        found: String,
    },
    /// It contains NaN or an infinity.
    #[error("holds a NaN or an infinity")]
    NonFinite,
    /// A mean of squares or a largest magnitude is negative.
    #[error("holds {found}, and means of squares and largest magnitudes are not negative")]
    Negative {
        /// The first such value.
        found: f64,
    },
}
