//! What a check found to be wrong, and where.

use std::fmt::{Display, Formatter, Result as FmtResult};

use burn::tensor::DType;

use super::check::Check;
use super::inputs::Region;
use crate::error::ShapeError;
use crate::train::CheckpointError;

/// The settings of one run of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Type of the elements.
    pub dtype: DType,
    /// Kind of the inputs.
    pub region: Region,
    /// Number of examples.
    pub batch: usize,
    /// Seed of parameters, inputs and condition.
    pub seed: u64,
}

impl Setting {
    pub(super) fn new(dtype: DType, region: Region, batch: usize, seed: u64) -> Self {
        Self { dtype, region, batch, seed }
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let dtype = if self.dtype == DType::F64 { "float64" } else { "float32" };
        let region = if self.region == Region::Extreme { "extreme" } else { "ordinary" };
        write!(f, "{dtype}, {region} inputs, batch of {}, seed {}", self.batch, self.seed)
    }
}

/// A promise that a bijector does not keep.
#[derive(Debug, thiserror::Error)]
#[error("{check} ({setting}): {fault}")]
pub struct Failure {
    /// The check that failed.
    pub check: Check,
    /// The settings of the run.
    pub setting: Setting,
    /// What was wrong.
    pub fault: Box<Fault>,
}

/// What was wrong. Indices are counted from 0, the batch axis first.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Two values that should agree do not.
    #[error(
        "{what} at {index:?}: expected {expected:e}, found {found:e}; they differ by {:.1e}, \
         allowed {allowed:.1e}",
        (found - expected).abs()
    )]
    Differs {
        /// What was compared.
        what: String,
        /// Index of the value that exceeds its tolerance by the largest factor.
        index: Vec<usize>,
        /// The computed value.
        found: f64,
        /// The expected value.
        expected: f64,
        /// Largest difference that passes.
        allowed: f64,
    },
    /// NaN or an infinity.
    #[error("{what} at {index:?} is {found}")]
    NotFinite {
        /// What is not finite.
        what: String,
        /// Index of the first such element.
        index: Vec<usize>,
        /// The element.
        found: f64,
    },
    /// A tensor of a shape that differs from the announced one.
    #[error("{what} must have shape {expected:?}, found {found:?}")]
    Shape {
        /// Which tensor.
        what: String,
        /// Its shape.
        found: Vec<usize>,
        /// The announced shape.
        expected: Vec<usize>,
    },
    /// A shape for which the bijector is made, but which it refuses.
    #[error("{what} returns an error for the shape that the bijector is built for: {error}")]
    Refused {
        /// `output_shape` or `input_shape`.
        what: &'static str,
        /// The reason.
        error: ShapeError,
    },
    /// A shape that `output_shape` or `input_shape` refuses but the map accepts.
    #[error("{what} accepts shape {shape:?}, for which the shape map returns an error")]
    Taken {
        /// `forward` or `inverse`.
        what: &'static str,
        /// The shape.
        shape: Vec<usize>,
    },
    /// A shape that `output_shape` or `input_shape` accepts but at which the map panics.
    #[error("{what} panics at shape {shape:?}, which the shape map accepts: {message}")]
    Misannounced {
        /// `forward` or `inverse`.
        what: &'static str,
        /// The shape.
        shape: Vec<usize>,
        /// Text of the panic.
        message: String,
    },
    /// Elements of a type that differs from the input's.
    #[error("{what} must have type {expected:?}, found {found:?}")]
    Type {
        /// Which tensor.
        what: String,
        /// Its type.
        found: DType,
        /// The input's type.
        expected: DType,
    },
    /// The error of the first-order model does not shrink as the square of the step: the gradient
    /// is wrong.
    #[error(
        "gradient of {of} through {through}: expected the error of the first-order model to shrink \
         with slope 2, found {slopes:.2?}"
    )]
    Slope {
        /// Input, context or path of a parameter.
        of: String,
        /// The output through which the loss depends on it.
        through: &'static str,
        /// Slopes along several directions.
        slopes: Vec<f64>,
    },
    /// A parameter that requires no gradient.
    #[error("parameter {parameter} is not trained; name it in `frozen` if this is intended")]
    NotTrained {
        /// Its path.
        parameter: String,
    },
    /// A parameter that receives no gradient, or only zeros or NaN.
    #[error("parameter {parameter} receives {gradient}")]
    NoGradient {
        /// Its path.
        parameter: String,
        /// What it receives.
        gradient: String,
    },
    /// A gradient that one of two computations returns and the other does not.
    #[error("the gradient of {of} is computed {there}, but not {missing}")]
    OneSided {
        /// Input, context or path of a parameter.
        of: String,
        /// The computation that returns it.
        there: &'static str,
        /// The computation that does not.
        missing: &'static str,
    },
    /// A checkpoint that cannot be written or read back.
    #[error("checkpoint: {0}")]
    Record(String),
    /// Something that burn or the initialisation does to a module changed what should have stayed
    /// the same.
    #[error("{how} changed {what}")]
    Changed {
        /// What was done.
        how: &'static str,
        /// What changed.
        what: &'static str,
    },
    /// A value that should be detached from the graph.
    #[error("{0} is still attached to an autodiff graph")]
    OnGraph(&'static str),
    /// Layers whose paths and parameters differ from those of the whole.
    #[error(
        "expected the visited layers to have the parameters of the bijector, {expected:?}, found \
         {found:?}"
    )]
    Layers {
        /// Names of the layers' parameters.
        found: Vec<String>,
        /// Names of the bijector's.
        expected: Vec<String>,
    },
    /// A Jacobian without an inverse.
    #[error("the Jacobian of example {example} is singular")]
    Singular {
        /// The example.
        example: usize,
    },
    /// A panic inside the bijector.
    #[error("panicked: {0}")]
    Panicked(String),
}

impl From<CheckpointError> for Fault {
    fn from(error: CheckpointError) -> Self {
        Self::Record(error.to_string())
    }
}

/// All promises that a bijector does not keep, in the order of [`Check::ALL`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} fails {} of {} checks{}",
    failures.len(),
    Check::ALL.len(),
    failures.iter().map(|failure| format!("\n  {failure}")).collect::<String>()
)]
pub struct ConformanceError {
    /// Name of the bijector.
    pub name: String,
    /// At least one.
    pub failures: Vec<Failure>,
}

impl ConformanceError {
    /// Whether a check failed.
    pub fn failed(&self, check: Check) -> bool {
        self.failures.iter().any(|failure| failure.check == check)
    }
}
