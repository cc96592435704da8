//! Typed errors of shapes, configurations and evaluations. Files and data have their own, beside
//! their readers.

mod check;
mod config;
mod flow;
mod init_problem;

pub use crate::tensor::capacity::CapacityError;
pub use check::check_shape;
pub(crate) use check::{check_event, check_shape_size};
pub use config::ConfigError;
pub use flow::FlowError;
pub use init_problem::InitProblem;

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
    #[error(
        "{layer}: axis {axis} must be a multiple of {factor} and at least {factor}, found shape {shape:?}"
    )]
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
        /// Number of axes that the layer takes, with the batch.
        expected: usize,
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
    /// A shape with more elements than a tensor may have.
    #[error("{layer}: shape {shape:?} has more than {most} numbers, which no tensor has")]
    TooLarge {
        /// Type of the layer.
        layer: &'static str,
        /// Largest number of elements: 1 TiB in float64.
        most: u64,
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
    /// A level of a multi-scale flow neither keeps the shape nor turns blocks of pixels into
    /// channels.
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
    /// A condition of another width, batch or size than the layer takes with an input of the given
    /// shape.
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
