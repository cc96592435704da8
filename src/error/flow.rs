//! Errors of the evaluation, sampling and initialisation of a flow.

use std::borrow::Cow;

use burn::tensor::DType;

use crate::counted::counted;
use crate::error::{ConfigError, InitProblem, ShapeError};
use crate::tensor::capacity::CapacityError;
use crate::tensor::finite::NonFiniteContext;

/// Indices of examples as text. Of many, only the first ones are listed.
fn listed(rows: &[usize]) -> String {
    const SHOWN: usize = 8;
    let names: Vec<String> = rows.iter().take(SHOWN).map(usize::to_string).collect();
    let more = match rows.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("example{} {}{more}", if rows.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// An error of the evaluation, sampling or initialisation of a flow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The batch does not have the flow's shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A part of the model does not support the type that the flow computes in.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The input contains NaN or an infinity.
    #[error(
        "the input is not finite: {count} of {}, the first in example {example}",
        counted(*total, "element")
    )]
    NonFiniteInput {
        /// Number of elements that are not finite.
        count: usize,
        /// Number of all elements.
        total: usize,
        /// First example of the batch that contains one.
        example: usize,
    },
    /// The condition contains NaN or an infinity.
    #[error(transparent)]
    NonFiniteContext(#[from] NonFiniteContext),
    /// A layer cannot be initialised from a batch, or its output for that batch is not finite after
    /// initialisation.
    #[error("`{path}` ({layer}) cannot be initialised from this batch: {problem}")]
    Init {
        /// Path from the root of the model, as in the names of its parameters:
        /// `bijector.1.0.steps.3.2`.
        path: String,
        /// Type of the layer, or `Invert<...>` of it where it runs inverted.
        layer: Cow<'static, str>,
        /// What is wrong.
        problem: InitProblem,
    },
    /// A log-likelihood is NaN or an infinity.
    #[error(
        "the log-likelihood of example {example} is {value}; `diagnose` names the first layer \
         whose output is not finite, and `evaluate_rows` evaluates the other examples"
    )]
    NonFiniteLikelihood {
        /// First example of the batch whose likelihood is not finite.
        example: usize,
        /// Its value.
        value: f64,
    },
    /// The inverse could not map some latents to data.
    #[error(
        "{count} of {} are undefined because latents could not be inverted, in {}; \
         `sample_rows` gives the other examples",
        counted(*total, "element"),
        listed(rows)
    )]
    NotInverted {
        /// Number of elements that have no inverse in this precision.
        count: usize,
        /// Number of all elements.
        total: usize,
        /// Samples that contain one, in order.
        rows: Vec<usize>,
    },
    /// The type of a tensor differs from that of the model, or the type of the layers from that of
    /// the prior.
    #[error("{what}: expected elements of type {expected:?}, found {found:?}")]
    Type {
        /// The tensor: data, condition, noise or latents; or layers or prior.
        what: &'static str,
        /// Type that the model computes in.
        expected: DType,
        /// Type of the tensor.
        found: DType,
    },
    /// A tensor is on another device than the model.
    #[error("{what}: expected a tensor on device {expected}, found one on device {found}")]
    OtherDevice {
        /// The tensor: data, condition, noise or latents.
        what: &'static str,
        /// Device of the model.
        expected: String,
        /// Device of the tensor.
        found: String,
    },
    /// A level lies outside the range of the quantization.
    #[error("example {example}: expected levels in 0..={}, found {found}", levels - 1)]
    Level {
        /// First example that contains such a level.
        example: usize,
        /// The level. 128 bits hold every integer of a tensor, including those of `u64`.
        found: i128,
        /// Number of levels.
        levels: usize,
    },
    /// A column of integers has a value that is none, or one that is too large for its type.
    #[error(
        "example {example}: expected an integer between -{most} and {most}, without these, in \
         column {column}, found {found}"
    )]
    Integer {
        /// First example that contains such a value.
        example: usize,
        /// Its column, from 0.
        column: usize,
        /// The value.
        found: f64,
        /// The magnitude that it must be below.
        most: f64,
    },
    /// The number of weights differs from the number of examples of a batch.
    #[error("a batch of {} needs as many weights, found {found}", counted(*expected, "example"))]
    WeightCount {
        /// Number of examples.
        expected: usize,
        /// Number of weights.
        found: usize,
    },
    /// The weight of an example is negative, or no float32 number.
    #[error("the weight of example {example} must lie in [0, 3.4e38], found {found}")]
    Weight {
        /// First such example of the batch.
        example: usize,
        /// Its weight.
        found: f64,
    },
    /// All weights of a batch are 0, so its loss has no mean.
    #[error(
        "expected a positive weight among those of {}, found none",
        counted(*examples, "example")
    )]
    NoWeight {
        /// Number of examples.
        examples: usize,
    },
    /// A number of samples is 0 but must be at least 1.
    #[error("`{what}` must be at least 1, found 0")]
    NoSamples {
        /// The argument.
        what: &'static str,
    },
    /// A number of samples is too large, or the machine has too little memory for it.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// A temperature is negative or not finite.
    #[error("the temperature must lie in [0, ∞), found {found}")]
    Temperature {
        /// Value that was found.
        found: f64,
    },
    /// A target returned another number of log-densities than the batch has examples.
    #[error(
        "a target needs {} for as many examples, found {found}",
        counted(*expected, "log-density")
    )]
    TargetShape {
        /// Number of examples.
        expected: usize,
        /// Number of log-densities.
        found: usize,
    },
    /// Reading the results from the device failed.
    #[error("reading from the device failed: {0}")]
    Device(String),
}

impl FlowError {
    /// Checks weights for a batch: one for each of `batch` examples, in [0, 3.4e38].
    pub(crate) fn check_weights(batch: usize, weights: Option<&[f64]>) -> Result<(), Self> {
        let Some(weights) = weights else { return Ok(()) };
        if weights.len() != batch {
            return Err(Self::WeightCount { expected: batch, found: weights.len() });
        }
        let wrong = |weight: &f64| !(0.0..=f64::from(f32::MAX)).contains(weight);
        match weights.iter().position(wrong) {
            None => Ok(()),
            Some(example) => Err(Self::Weight { example, found: weights[example] }),
        }
    }
}
