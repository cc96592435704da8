//! Typed errors of shapes, configurations and evaluations. The errors of files and data are defined
//! beside their readers.

mod check;
mod config;
mod flow;
mod init_problem;

use crate::counted::counted;
pub use crate::tensor::capacity::CapacityError;
pub use check::check_shape;
pub(crate) use check::{check_event, check_shape_size};
pub use config::ConfigError;
pub use flow::FlowError;
pub use init_problem::InitProblem;

/// A tensor shape that a bijector, prior or conditioner does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The length of one axis differs from the one that the layer was built for.
    #[error("{layer}: expected length {expected} along axis {axis}, found shape {shape:?}")]
    Axis {
        /// Type of the layer.
        layer: &'static str,
        /// Axis that does not fit, counted from 0 (the batch).
        axis: usize,
        /// Length that the layer was built for.
        expected: usize,
        /// The whole shape that was found.
        shape: Vec<usize>,
    },
    /// One axis cannot be divided into equal parts.
    #[error(
        "{layer}: axis {axis} must be a multiple of {factor} and at least {factor}, found shape \
         {shape:?}"
    )]
    NotDivisible {
        /// Type of the layer.
        layer: &'static str,
        /// Axis that is not divisible.
        axis: usize,
        /// Number that must divide it.
        factor: usize,
        /// The whole shape that was found.
        shape: Vec<usize>,
    },
    /// An axis is too short to be divided into two parts.
    #[error("{layer}: axis {axis} must have a length of at least {least}, found shape {shape:?}")]
    Short {
        /// Type of the layer.
        layer: &'static str,
        /// Axis that is too short.
        axis: usize,
        /// Smallest legal length.
        least: usize,
        /// The whole shape that was found.
        shape: Vec<usize>,
    },
    /// The number of axes differs from the one that the layer accepts.
    #[error("{layer}: expected {expected} axes, found shape {shape:?}")]
    Rank {
        /// Type of the layer.
        layer: &'static str,
        /// Number of axes that the layer accepts, including the batch.
        expected: usize,
        /// The whole shape that was found.
        shape: Vec<usize>,
    },
    /// Examples do not have the shape of the model.
    #[error("{layer}: expected examples of shape {expected:?}, found {found:?}")]
    Example {
        /// Type of the model.
        layer: &'static str,
        /// Shape of its examples, without the batch axis.
        expected: Vec<usize>,
        /// Shape that was found.
        found: Vec<usize>,
    },
    /// A batch has no examples, or an axis has length 0.
    #[error("{layer}: expected at least one element, found shape {shape:?}")]
    Empty {
        /// Type of the layer.
        layer: &'static str,
        /// The whole shape that was found.
        shape: Vec<usize>,
    },
    /// A shape has more elements than a tensor may have.
    #[error("{layer}: expected at most {most} elements, found shape {shape:?}")]
    TooLarge {
        /// Type of the layer.
        layer: &'static str,
        /// Largest number of elements: 1 TiB in float64.
        most: u64,
        /// The whole shape that was found.
        shape: Vec<usize>,
    },
    /// A layer needs a condition but the flow has none, or the reverse.
    #[error("{layer}: expected {expected}, found {found}")]
    Context {
        /// Type of the layer.
        layer: &'static str,
        /// What the layer was built for.
        expected: &'static str,
        /// What the flow passes to it.
        found: &'static str,
    },
    /// A level of a multi-scale flow neither keeps the shape nor turns blocks of pixels into
    /// channels.
    #[error(
        "{layer}: each level must keep the shape or squeeze it, found one that maps {shape:?} to \
         {output:?}"
    )]
    NotSqueezed {
        /// Type of the layer.
        layer: &'static str,
        /// Shape of the input of the level.
        shape: Vec<usize>,
        /// Shape of its output.
        output: Vec<usize>,
    },
    /// The number of latents differs from the number of levels.
    #[error("{layer}: expected latents of {}, found {found}", counted(*expected, "level"))]
    Levels {
        /// Type of the layer.
        layer: &'static str,
        /// Number of levels of the flow.
        expected: usize,
        /// Number of latents that were found.
        found: usize,
    },
    /// The width, batch or size of a condition differs from what the layer accepts with an input of
    /// the given shape.
    #[error(
        "{layer}: expected a condition of shape {expected:?}, found {found:?}{}",
        other_rows(expected, found)
    )]
    ContextShape {
        /// Type of the layer.
        layer: &'static str,
        /// Shape that the layer accepts with this input.
        expected: Vec<usize>,
        /// Shape that was found.
        found: Vec<usize>,
    },
    /// A bijector changes the shape but does not define the shape map of its inverse.
    #[error(
        "{layer}: must implement `ShapeMap::input_shape`, because it maps shape {shape:?} to \
         {output:?}"
    )]
    InverseUnknown {
        /// Type of the layer.
        layer: &'static str,
        /// Shape for which the inverse's shape was requested.
        shape: Vec<usize>,
        /// Shape that the forward pass makes of it.
        output: Vec<usize>,
    },
    /// An error of a member of a composition, and the place of the member.
    #[error("{path}: {error}")]
    At {
        /// Place of the member, from the outermost composition inwards: `[1][3].squeeze`.
        path: String,
        /// The error of the member.
        error: Box<Self>,
    },
}

impl ShapeError {
    /// This error, with `place` put before its path: `[1]` for a member of a list, `.squeeze` for a
    /// field.
    pub fn at(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::At { path, error } => Self::At { path: format!("{place}{path}"), error },
            error => Self::At { path: place.to_string(), error: Box::new(error) },
        }
    }
}

/// What a condition with another number of rows might have meant.
fn other_rows(expected: &[usize], found: &[usize]) -> &'static str {
    if expected.first() == found.first() {
        ""
    } else {
        "; it has one row for each example, or one row for all of them"
    }
}
