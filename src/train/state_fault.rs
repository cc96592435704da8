//! What can be wrong with an optimizer's state of one parameter.

use burn::tensor::DType;

/// Why a part of an optimizer's state in a checkpoint cannot be taken.
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
    /// The optimizer keeps nothing of that name.
    #[error("is no part of the state that this optimizer keeps")]
    Unknown,
    /// A part that the optimizer needs is absent.
    #[error("is missing")]
    Missing,
    /// Another shape than the parameter's.
    #[error("has the shape {found:?}, its parameter {expected:?}")]
    Shape {
        /// Shape of the parameter.
        expected: Vec<usize>,
        /// Shape that was found.
        found: Vec<usize>,
    },
    /// Another type than the parameter's.
    #[error("holds elements of type {found:?}, its parameter {expected:?}")]
    Type {
        /// Type of the parameter.
        expected: DType,
        /// Type that was found.
        found: DType,
    },
    /// Another number of axes than the parameter has.
    #[error("is {found}, its parameter has {expected} axes")]
    Rank {
        /// Axes of the parameter.
        expected: usize,
        /// What was found.
        found: String,
    },
    /// A count of updates outside its range.
    #[error("is {found}; the updates of a parameter are 1 to the {most} of the run")]
    Count {
        /// Updates of the run.
        most: u64,
        /// What was found.
        found: String,
    },
    /// A NaN or an infinity.
    #[error("holds a NaN or an infinity")]
    NonFinite,
    /// A negative mean of squares or largest magnitude.
    #[error("holds {found}, and means of squares and largest magnitudes are not negative")]
    Negative {
        /// The first such number.
        found: f64,
    },
}
