//! Typed errors of shapes, configurations and evaluations. Files and data have their own, beside their readers.

mod config;

pub use config::ConfigError;

use crate::finite::NonFiniteCondition;
use crate::start::StartProblem;
use burn::tensor::DType;

/// A tensor shape that a bijector, prior or conditioner cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// One axis has another length than the layer was built for.
    #[error("{layer}: expected length {expected} along axis {axis}, found shape {shape:?}")]
    Axis {
        /// Type of the layer.
        layer: &'static str,
        /// Axis that does not fit, counted from 0 (the batch).
        axis: usize,
        /// Length that the layer was built for.
        expected: usize,
        /// The whole shape that came.
        shape: Vec<usize>,
    },
    /// One axis cannot be cut into equal parts.
    #[error("{layer}: axis {axis} must be a multiple of {factor} and at least {factor}, found shape {shape:?}")]
    NotDivisible {
        /// Type of the layer.
        layer: &'static str,
        /// Axis that does not divide.
        axis: usize,
        /// Number that must divide it.
        factor: usize,
        /// The whole shape that came.
        shape: Vec<usize>,
    },
    /// An axis too short to be cut into two parts.
    #[error("{layer}: axis {axis} must have a length of at least {least}, found shape {shape:?}")]
    Short {
        /// Type of the layer.
        layer: &'static str,
        /// Axis that is too short.
        axis: usize,
        /// Smallest legal length.
        least: usize,
        /// The whole shape that came.
        shape: Vec<usize>,
    },
    /// Another number of axes than the layer takes.
    #[error("{layer}: expected {expected} axes, found shape {shape:?}")]
    Rank {
        /// Type of the layer.
        layer: &'static str,
        /// Number of axes that the layer takes.
        expected: &'static str,
        /// The whole shape that came.
        shape: Vec<usize>,
    },
    /// Examples of another shape than the model's.
    #[error("{layer}: takes examples of shape {expected:?}, found {found:?}")]
    Example {
        /// Type of the model.
        layer: &'static str,
        /// Shape of its examples, without the batch axis.
        expected: Vec<usize>,
        /// Shape that came.
        found: Vec<usize>,
    },
    /// A batch without examples, or an axis of length 0.
    #[error("{layer}: shape {shape:?} holds no elements")]
    Empty {
        /// Type of the layer.
        layer: &'static str,
        /// The whole shape that came.
        shape: Vec<usize>,
    },
    /// A layer that needs a condition in a flow that has none, or the reverse.
    #[error("{layer}: expected {expected}, found {found}")]
    Condition {
        /// Type of the layer.
        layer: &'static str,
        /// What the layer was built for.
        expected: &'static str,
        /// What the flow gives it.
        found: &'static str,
    },
    /// A level of a multi-scale flow neither keeps the shape nor turns blocks of pixels into channels.
    #[error("{layer}: a level maps shape {shape:?} to {output:?}, which is no squeeze")]
    NotSqueezed {
        /// Type of the layer.
        layer: &'static str,
        /// Shape that goes into the level.
        shape: Vec<usize>,
        /// Shape that it makes of it.
        output: Vec<usize>,
    },
    /// Latents for another number of levels than there are.
    #[error("{layer}: expected latents of {expected} levels, found {found}")]
    Levels {
        /// Type of the layer.
        layer: &'static str,
        /// Levels of the flow.
        expected: usize,
        /// Latents that came.
        found: usize,
    },
    /// A condition of another width, batch or size than the layer takes with an input of the given shape.
    #[error("{layer}: expected a condition of shape {expected:?}, found {found:?}")]
    ConditionShape {
        /// Type of the layer.
        layer: &'static str,
        /// What it takes beside this input.
        expected: Vec<usize>,
        /// What came.
        found: Vec<usize>,
    },
    /// A bijector changes the shape but does not say what its inverse does to one.
    #[error("{layer}: maps shape {shape:?} to {output:?} and has no `input_shape` of its own")]
    InverseUnknown {
        /// Type of the layer.
        layer: &'static str,
        /// Shape that was asked for.
        shape: Vec<usize>,
        /// Shape that forward makes of it.
        output: Vec<usize>,
    },
}

/// The first line of every public forward and inverse: a wrong shape is a programming error there, and says what was expected.
///
/// # Panics
/// With the text of the error.
pub fn check_shape<T>(shape: Result<T, ShapeError>) {
    if let Err(error) = shape {
        panic!("{error}");
    }
}

/// Indices of examples as text; of many, only the first.
fn listed(rows: &[usize]) -> String {
    const SHOWN: usize = 8;
    let names: Vec<String> = rows.iter().take(SHOWN).map(usize::to_string).collect();
    let more = match rows.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("example{} {}{more}", if rows.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// What can go wrong when a flow is evaluated or sampled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The batch does not have the flow's shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A part of the model does not support the type that the flow computes in.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The input holds NaN or an infinity.
    #[error("input is not finite: {count} of {total} elements, the first in example {example}")]
    NonFiniteInput {
        /// Number of such elements.
        count: usize,
        /// Number of all elements.
        total: usize,
        /// First example of the batch that holds one.
        example: usize,
    },
    /// The condition holds NaN or an infinity.
    #[error(transparent)]
    NonFiniteCondition(#[from] NonFiniteCondition),
    /// A layer that cannot start from a batch, or whose output for that batch is not finite after the start.
    #[error("`{path}` ({layer}) cannot start from this batch: {problem}")]
    Start {
        /// Path from the root of the model, as in the names of its parameters: `flow.bijector.1.0.steps.3.2`.
        path: String,
        /// Type of the layer.
        layer: &'static str,
        /// What is wrong.
        problem: StartProblem,
    },
    /// A log-likelihood came out as NaN or an infinity.
    #[error("log-likelihood of example {example} is {value}")]
    NonFiniteLikelihood {
        /// First example of the batch whose likelihood is not finite.
        example: usize,
        /// What came out.
        value: f64,
    },
    /// Latents that the inverse could not map to data.
    #[error("{count} of {total} elements are undefined because latents could not be inverted, in {}", listed(rows))]
    NotInverted {
        /// Number of elements that have no inverse in this precision.
        count: usize,
        /// Number of all elements.
        total: usize,
        /// Samples that hold one, in order.
        rows: Vec<usize>,
    },
    /// A tensor whose type differs from the model's.
    #[error("{what}: expected numbers of type {expected:?}, found {found:?}")]
    Type {
        /// What came: data, condition, noise or latents.
        what: &'static str,
        /// Type that the model computes in.
        expected: DType,
        /// Type that came.
        found: DType,
    },
    /// A tensor on another device than the model's.
    #[error("{what}: expected on device {expected}, found on device {found}")]
    OtherDevice {
        /// What came: data, condition, noise or latents.
        what: &'static str,
        /// Device of the model.
        expected: String,
        /// Device of what came.
        found: String,
    },
    /// A level outside of those that the quantization knows.
    #[error("example {example} holds level {found}; quantization to {levels} levels takes 0..={}", levels - 1)]
    Level {
        /// First example that holds such a level.
        example: usize,
        /// The level.
        found: i64,
        /// Number of levels.
        levels: usize,
    },
    /// A count of samples that must be at least one.
    #[error("`{what}` must be at least 1")]
    NoSamples {
        /// The argument.
        what: &'static str,
    },
    /// A temperature that is no factor of a spread.
    #[error("the temperature must lie in [0, ∞), found {found}")]
    Temperature {
        /// What was found.
        found: f64,
    },
    /// The device did not deliver its results.
    #[error("reading from the device failed: {0}")]
    Device(String),
}
