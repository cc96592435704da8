//! What can go wrong in training, one variant per broken rule.

use std::io;
use std::path::PathBuf;

use burn::tensor::DType;

use super::fault::Fault;
use super::loss_scale::LossScale;
use super::schedule::Schedule;
use crate::walk::Backward;

/// A training step that cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A loss came out as NaN or an infinity.
    #[error("the loss of update {step} is {value}{}", at(fault))]
    NonFiniteLoss {
        /// Number of the update, from 1.
        step: u64,
        /// What came out.
        value: f64,
        /// The first place that made it, if the loss is an [`Objective`](super::Objective).
        fault: Option<Fault>,
    },
    /// A gradient holds NaN or an infinity (or its norm exceeds the largest f64).
    #[error(
        "the gradient{} is not finite from `{parameter}` on back, the last such parameter in the order of the model{}",
        of_update(step),
        at(fault)
    )]
    NonFiniteGradient {
        /// Number of the update, from 1, if a trainer took it.
        step: Option<u64>,
        /// Path of the last such parameter in the order of the module. A layer without parameters is never named here: if one is at fault,
        /// this is the parameter before it.
        parameter: String,
        /// The first layer on the way back that made it, if the loss is an [`Objective`](super::Objective).
        fault: Option<Fault>,
    },
    /// More updates failed than the policy admits.
    #[error("gave up after {failures} failed updates, in a row or since the last checkpoint: {last}")]
    GaveUp {
        /// Updates that failed before this one.
        failures: u64,
        /// Why the last one failed.
        last: Box<Self>,
    },
    /// A loss does not depend on parameters that are trained.
    #[error("the loss has no graph: make the model on a device with `.autodiff()`")]
    NoGraph,
    /// Examples hold at least one number.
    #[error("the numbers per example must be at least 1, found 0")]
    NoDims,
    /// The learning rate must be positive.
    #[error("the learning rate must be a positive number, found {learning_rate}")]
    InvalidLearningRate {
        /// The rate that was given.
        learning_rate: f64,
    },
    /// A schedule's factors must lie in their ranges, and a cosine must end after it starts.
    #[error("{schedule:?} is no schedule: factors must lie in [0, 1], a decay in (0, 1], and `end` after `start`")]
    InvalidSchedule {
        /// The schedule that was given.
        schedule: Schedule,
    },
    /// The bound of a gradient norm must be positive.
    #[error("the largest gradient norm must be positive, found {max_norm}")]
    InvalidMaxNorm {
        /// The bound that was given.
        max_norm: f64,
    },
    /// A training's bound of a gradient norm must be positive and finite.
    #[error("the largest gradient norm must be positive and finite, found {max_norm}; f64::MAX clips nothing")]
    UnboundedMaxNorm {
        /// The bound that was given.
        max_norm: f64,
    },
    /// A decay, of a moving average or of an optimizer's memory, must lie in [0, 1).
    #[error("a decay, of a moving average or of an optimizer, must lie in [0, 1), found {decay}")]
    InvalidDecay {
        /// The decay that was given.
        decay: f64,
    },
    /// A loss scale is a power of two in a range, and grows after a number of updates.
    #[error("{scale:?} is no loss scale: `exponent` must be at most 60 and `growth` at least 1")]
    InvalidLossScale {
        /// The scale that was given.
        scale: LossScale,
    },
    /// A device has no numbers of the type that networks are to be trained in.
    #[error("the device {device} has no arithmetic in {dtype:?}")]
    UnsupportedPrecision {
        /// The type.
        dtype: DType,
        /// The device.
        device: String,
    },
    /// A gradient is put together from at least one part.
    #[error("the parts of a gradient must be at least 1, found 0")]
    NoParts,
    /// burn's learner has no place for a loss scale that changes.
    #[error("burn's checkpoints cannot keep the loss scale {scale:?}: only a fixed one serves here, or a `Trainer`")]
    ChangingLossScale {
        /// The scale that was given.
        scale: LossScale,
    },
    /// A moving average met a model that it was not made from.
    #[error("the moving average holds `{parameter}`, the model holds no parameter of that identity, kind and shape")]
    ForeignParameter {
        /// Path of the parameter in the average.
        parameter: String,
    },
    /// A rebuilt input must be allowed to be off by something.
    #[error("the tolerance of rebuilt inputs must be a positive number, found {tolerance}")]
    InvalidTolerance {
        /// The tolerance that was given.
        tolerance: f64,
    },
    /// The loss cannot be walked, which every policy but [`Backward::Store`] needs.
    #[error(
        "the loss knows no walk, which {backward:?} needs: use `update_on` with an objective that does, or `Backward::Store`"
    )]
    NotWalkable {
        /// The policy.
        backward: Backward,
    },
    /// An update needs at least one batch.
    #[error("an update needs at least one batch, found none")]
    NoBatch,
    /// The device could not give back a number: it is lost, or out of memory.
    #[error("the device gave no result: {reason}{}", instead_of(backward))]
    Device {
        /// What the device reported.
        reason: String,
        /// The policy of the update, if a trainer took it.
        backward: Option<Backward>,
    },
}

/// What to try where memory may have run out.
fn instead_of(backward: &Option<Backward>) -> String {
    match backward.map(Backward::thriftier) {
        None => String::new(),
        Some(Some(other)) => format!("; nothing has changed, if memory ran out: resume under {other:?}"),
        Some(None) => "; nothing has changed, if memory ran out: resume with smaller micro-batches".into(),
    }
}

impl TrainError {
    /// Whether numbers were not finite, which [`NonFinite`](super::NonFinite) decides about.
    pub fn is_non_finite(&self) -> bool {
        matches!(self, Self::NonFiniteLoss { .. } | Self::NonFiniteGradient { .. })
    }
}

/// The end of a message that may know where something happened.
fn at(fault: &Option<Fault>) -> String {
    fault.as_ref().map_or_else(String::new, |fault| format!(", first not finite at {fault}"))
}

impl CheckpointError {
    /// Whether a file was read and its contents are not those of a checkpoint. A file that could not be read may be as it should.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::NotSafetensors { .. } | Self::NotCheckpoint { .. } | Self::Checksum { .. })
    }
}

/// Which update something happened in, if that is known.
fn of_update(step: &Option<u64>) -> String {
    step.map_or_else(String::new, |step| format!(" of update {step}"))
}

/// A checkpoint that cannot be written, read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be written. An earlier file of that name is as it was, unless only the last step failed:
    /// asking the system to make the new name durable.
    #[error("cannot write the checkpoint {}: {source}", path.display())]
    Write {
        /// The target file.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the checkpoint {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// The file is cut short, or is no safetensors file.
    #[error("{} is truncated or not a safetensors file: {reason}", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// The first rule of the format that it breaks.
        reason: String,
    },
    /// The file is a safetensors file, but not one that [`Checkpoint`](super::Checkpoint) wrote.
    #[error("{} is not a flowkit checkpoint: {reason}", path.display())]
    NotCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is missing or malformed.
        reason: String,
    },
    /// The file was written in a layout that this version does not know.
    #[error("{} has the checkpoint format `{found}`, this version reads `{supported}`", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// The format named in the file.
        found: String,
        /// The format that this version reads and writes.
        supported: &'static str,
    },
    /// The contents are not what was written.
    #[error("{} is damaged: CRC-32 {expected:08x} was written, {found:08x} was read", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The checksum stored in the file.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
    /// Another process writes to the folder.
    #[error("{} is in use: another process writes checkpoints there", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// At least one checkpoint must be kept.
    #[error("the checkpoints to keep must be at least 1, found 0")]
    KeepNone,
    /// A folder holds checkpoints, and none of them can be read.
    #[error("none of the {} checkpoints in {} can be read; the newest: {}", damaged.len(), folder.display(), damaged[0])]
    AllDamaged {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with each, newest first.
        damaged: Vec<Self>,
    },
    /// A run cannot go on from weights that are not finite, so they are no checkpoint.
    #[error("`{name}` holds a NaN or an infinity: not saved")]
    NonFiniteWeights {
        /// Section and path of the first such parameter.
        name: String,
    },
    /// A metadata key lies in the range that the format keeps for itself.
    #[error(
        "the metadata key `{key}` is reserved: `trainer`, `progress` and keys that start with `flowkit.` are written by the crate"
    )]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// A section name is empty or holds a dot, which separates it from the paths of its parameters.
    #[error("`{name}` cannot name a section: a name must not be empty and must not hold a dot")]
    InvalidSection {
        /// The name.
        name: String,
    },
    /// Two tensors, or two sections, would have the same name.
    #[error("`{name}` occurs twice")]
    DuplicatePath {
        /// The name.
        name: String,
    },
    /// There is no section of that name and kind.
    #[error("the checkpoint holds no {kind} `{name}`, only {available:?}")]
    MissingSection {
        /// `"module"` or `"bytes"`.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The sections of that kind that exist.
        available: Vec<String>,
    },
    /// The module has a parameter that the checkpoint lacks.
    #[error("the checkpoint lacks `{name}` of shape {shape:?}")]
    MissingTensor {
        /// Section and path of the parameter.
        name: String,
        /// The shape of the parameter.
        shape: Vec<usize>,
    },
    /// The checkpoint has tensors that the module lacks.
    #[error("the module has no place for {names:?}")]
    UnexpectedTensors {
        /// Sections and paths of the tensors.
        names: Vec<String>,
    },
    /// A parameter and its stored tensor differ in shape.
    #[error("`{name}`: the module expects the shape {expected:?}, the checkpoint holds {found:?}")]
    ShapeMismatch {
        /// Section and path of the parameter.
        name: String,
        /// The shape of the parameter.
        expected: Vec<usize>,
        /// The shape of the stored tensor.
        found: Vec<usize>,
    },
    /// A parameter and its stored tensor differ in element type.
    #[error("`{name}`: the module expects elements of type {expected:?}, the checkpoint holds {found:?}")]
    DTypeMismatch {
        /// Section and path of the parameter.
        name: String,
        /// The element type of the parameter.
        expected: DType,
        /// The element type of the stored tensor.
        found: DType,
    },
    /// A piece of metadata or optimizer state is missing or cannot be read or written.
    #[error("`{key}` of the checkpoint {reason}")]
    Metadata {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The parameter has an element type that safetensors cannot hold (quantized or Flex32).
    #[error("`{name}`: elements of type {dtype:?} cannot be stored")]
    UnsupportedDType {
        /// Section and path of the parameter.
        name: String,
        /// The element type of the parameter.
        dtype: DType,
    },
    /// The device could not give back a parameter.
    #[error("`{name}` cannot be read from its device: {reason}")]
    Device {
        /// Section and path of the parameter.
        name: String,
        /// What the device reported.
        reason: String,
    },
}
