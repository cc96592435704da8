//! What can go wrong when a flow is evaluated, sampled or started.

use std::borrow::Cow;

use burn::tensor::DType;

use crate::error::{ConfigError, InitProblem, ShapeError};
use crate::tensor::capacity::CapacityError;
use crate::tensor::finite::NonFiniteCondition;

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

/// What can go wrong when a flow is evaluated, sampled or started.
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
    /// A layer that cannot start from a batch, or whose output for that batch is not finite after
    /// the start.
    #[error("`{path}` ({layer}) cannot start from this batch: {problem}")]
    Init {
        /// Path from the root of the model, as in the names of its parameters:
        /// `bijector.1.0.steps.3.2`.
        path: String,
        /// Type of the layer, `Invert<...>` of it where it runs inverted.
        layer: Cow<'static, str>,
        /// What is wrong.
        problem: InitProblem,
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
    #[error(
        "{count} of {total} elements are undefined because latents could not be inverted, in {}",
        listed(rows)
    )]
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
    /// A level outside the range of the quantization.
    #[error("example {example} holds level {found}; quantization to {levels} levels takes 0..={}", levels - 1)]
    Level {
        /// First example that holds such a level.
        example: usize,
        /// The level. 128 bits hold every integer of a tensor, those of `u64` among them.
        found: i128,
        /// Number of levels.
        levels: usize,
    },
    /// A count of samples that must be at least one.
    #[error("`{what}` must be at least 1")]
    NoSamples {
        /// The argument.
        what: &'static str,
    },
    /// A number of samples that is too large, or that the machine has no memory for.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// A temperature that is negative or not finite.
    #[error("the temperature must lie in [0, ∞), found {found}")]
    Temperature {
        /// What was found.
        found: f64,
    },
    /// The device did not deliver its results.
    #[error("reading from the device failed: {0}")]
    Device(String),
}
