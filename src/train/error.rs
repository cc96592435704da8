//! Errors of training. Rules of configurations are [`ConfigError`]s, as everywhere.

use burn::tensor::DType;

use super::non_finite_place::NonFinitePlace;
use crate::bijector::replay::GradientMemory;
use crate::counted::counted;
use crate::error::{ConfigError, FlowError};
use crate::tensor::finite::NonFiniteContext;

/// A training that cannot begin or continue.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A loss is NaN or an infinity.
    #[error("the loss of update {step} is {value}{}", at(fault))]
    NonFiniteLoss {
        /// Number of the update, from 1.
        step: u64,
        /// Its value.
        value: f64,
        /// The first place with such a value, if the loss is an [`Objective`](super::Objective).
        fault: Option<NonFinitePlace>,
    },
    /// The condition of a batch contains NaN or an infinity.
    #[error("update {step}: {condition}")]
    NonFiniteContext {
        /// Number of the update, from 1.
        step: u64,
        /// The part of the condition, and the row.
        condition: NonFiniteContext,
    },
    /// A gradient contains NaN or an infinity (or its norm exceeds the largest f64).
    #[error(
        "the gradient{} is not finite; the last parameter affected, in the order of the model, is \
         `{parameter}`{}",
        of_update(step),
        at(fault)
    )]
    NonFiniteGradient {
        /// Number of the update, from 1, if a trainer made it.
        step: Option<u64>,
        /// Path of the last such parameter in the order of the module. A layer without parameters
        /// is never named here: if such a layer is at fault, this is the parameter before it.
        parameter: String,
        /// The first layer in the backward pass at which the gradient is not finite, if the loss is
        /// an [`Objective`](super::Objective).
        fault: Option<NonFinitePlace>,
    },
    /// More updates failed than the policy allows.
    #[error(
        "training stopped after {}, in a row or since the last checkpoint; the last failure: \
         {last}",
        counted(*failures, "failed update")
    )]
    GaveUp {
        /// Number of updates that failed before this one.
        failures: u64,
        /// Why the last one failed.
        last: Box<Self>,
    },
    /// More updates than a run can count.
    #[error("a run has at most {most} updates, found {found}")]
    TooManyUpdates {
        /// Number of updates that was given.
        found: u64,
        /// Largest number of updates of a run.
        most: u64,
    },
    /// A loss does not depend on trained parameters.
    #[error(
        "the loss is not part of an autodiff graph: build the model on a device with `.autodiff()`"
    )]
    NoGraph,
    /// No parameter of the model can be trained.
    #[error(
        "no parameter is trained: the loss depends on no parameter, or only on frozen ones \
         (`set_require_grad(false)`)"
    )]
    NothingTrained,
    /// A parameter occurs at two places that differ, such as a clone whose values were changed.
    /// Training would update only one of them.
    #[error(
        "`{first}` and `{second}` have the same parameter id, as clones do, but are not the same: \
         {differ}; build one of them separately instead of cloning it"
    )]
    Clones {
        /// Path of the first place.
        first: String,
        /// Path of the second place.
        second: String,
        /// How they differ.
        differ: &'static str,
    },
    /// An update would have made values that are not finite. It was not applied.
    #[error(
        "{}{} would make the {what} of `{parameter}` NaN or infinite",
        numbered(step),
        at_rate(learning_rate)
    )]
    NonFiniteUpdate {
        /// Number of the update, from 1, if a trainer made it.
        step: Option<u64>,
        /// `"weights"`, `"average"` or `"moments"`.
        what: &'static str,
        /// Path of the first such parameter.
        parameter: String,
        /// The learning rate, if a trainer made the update.
        learning_rate: Option<f64>,
    },
    /// An invalid configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A device has no arithmetic in the type that networks are to be trained in.
    #[error("the device {device} does not support arithmetic in {dtype:?}")]
    UnsupportedPrecision {
        /// The type.
        dtype: DType,
        /// The device.
        device: String,
    },
    /// A moving average was updated with a model that it was not made from.
    #[error(
        "the moving average has `{parameter}`, but the model has no parameter of the same id, kind \
         and shape"
    )]
    ForeignParameter {
        /// Path of the parameter in the average.
        parameter: String,
    },
    /// The loss has no replay, which every policy but [`GradientMemory::Store`] requires.
    #[error(
        "{gradient_memory:?} requires an objective with a memory-saving pass: use `update_on` with \
         one, or `GradientMemory::Store`"
    )]
    NoReplay {
        /// The policy.
        gradient_memory: GradientMemory,
    },
    /// A batch does not fit the model. Nothing was computed.
    #[error(transparent)]
    Batch(#[from] FlowError),
    /// The gradient's norm is to be in bits/dim, and the loss of a closure does not know how many
    /// elements an example has.
    #[error(
        "the bound on the gradient's norm is in bits/dim, but a closure does not give the number \
         of elements of an example: use `update_on`, or `GradientUnit::Nats`"
    )]
    UnknownDims,
    /// An update needs at least one batch.
    #[error("an update needs at least one batch, found none")]
    NoBatch,
    /// A micro-batch has no examples: it would have no weight among the others.
    #[error("micro-batch {part} (counted from 0): expected at least 1 example, found none")]
    NoExamples {
        /// Its index, from 0.
        part: usize,
    },
    /// A loss is not a single value. Nothing was differentiated.
    #[error(
        "the loss: expected a scalar, of shape [1], found shape [{found}]; take the mean over the \
         batch"
    )]
    LossShape {
        /// Number of values that were found.
        found: usize,
    },
    /// The device returned no value: it is lost, or out of memory.
    #[error("the device returned no result: {reason}{}", instead_of(gradient_memory))]
    Device {
        /// What the device reported.
        reason: String,
        /// The policy of the update, if a trainer made it.
        gradient_memory: Option<GradientMemory>,
    },
}

/// What to try if memory may have run out.
fn instead_of(gradient_memory: &Option<GradientMemory>) -> String {
    match gradient_memory.map(GradientMemory::thriftier) {
        None => String::new(),
        Some(Some(other)) => {
            format!("; nothing has changed; if memory ran out, resume under {other:?}")
        }
        Some(None) => {
            "; nothing has changed; if memory ran out, resume with smaller micro-batches".into()
        }
    }
}

impl TrainError {
    /// Whether values were not finite, which is a case for [`NonFinite`](super::NonFinite).
    pub fn is_non_finite(&self) -> bool {
        matches!(
            self,
            Self::NonFiniteLoss { .. }
                | Self::NonFiniteContext { .. }
                | Self::NonFiniteGradient { .. }
                | Self::NonFiniteUpdate { .. }
        )
    }
}

/// The end of a message, with the place if it is known.
fn at(fault: &Option<NonFinitePlace>) -> String {
    fault.as_ref().map_or_else(String::new, |fault| format!(", first not finite at {fault}"))
}

/// The number of an update, if it is known.
fn numbered(step: &Option<u64>) -> String {
    step.map_or_else(|| "the update".into(), |step| format!("update {step}"))
}

/// The rate of an update, if it is known.
fn at_rate(rate: &Option<f64>) -> String {
    rate.map_or_else(String::new, |rate| format!(" at the learning rate {rate:e}"))
}

/// The number of the update, if it is known.
fn of_update(step: &Option<u64>) -> String {
    step.map_or_else(String::new, |step| format!(" of update {step}"))
}
