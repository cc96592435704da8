//! Errors of checkpoints, one variant for each kind of broken rule.
//!
//! The text of an error contains that of its cause. `Error::source` is therefore `None`, since a
//! program that prints the chain of causes would otherwise print the cause twice. thiserror uses a
//! field `source` as the cause, but not `r#source`.

use std::io;
use std::path::PathBuf;

use burn::tensor::DType;

use super::error::TrainError;
use super::state_fault::StateFault;
use crate::counted::counted;

/// A checkpoint that cannot be written, read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be written. An earlier file of that name is unchanged, unless only the
    /// last step failed, which makes the new name durable.
    #[error("cannot write the checkpoint {}: {source}", path.display())]
    Write {
        /// The target file.
        path: PathBuf,
        /// What the system reported.
        r#source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the checkpoint {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        r#source: io::Error,
    },
    /// The file is truncated or not a safetensors file.
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
    /// The file was written in a format that this version does not support.
    #[error(
        "{}: expected checkpoint format `{supported}`, found `{found}`; read it with the version \
         of flowkit that wrote it, or train again",
        path.display()
    )]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// The format named in the file.
        found: String,
        /// The format that this version reads and writes.
        supported: &'static str,
    },
    /// The contents differ from those that were written.
    #[error(
        "{} is damaged: expected the CRC-32 checksum {expected:08x}, found {found:08x}",
        path.display()
    )]
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
    #[error("the number of checkpoints to keep must be at least 1, found 0")]
    KeepNone,
    /// A folder contains checkpoints, and none of them can be read.
    #[error(
        "none of the {} checkpoints in {} can be read; the newest: {}",
        damaged.len(), folder.display(), damaged[0]
    )]
    AllDamaged {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with each, newest first.
        damaged: Vec<Self>,
    },
    /// A run cannot continue from weights or moments that are not finite, so they are not saved.
    #[error("`{name}` contains NaN or an infinity: no run could continue from it")]
    NonFiniteWeights {
        /// Section and path of the first such parameter.
        name: String,
    },
    /// A metadata key is reserved by the format.
    #[error(
        "the metadata key `{key}` is reserved: `trainer`, `progress` and keys that start with \
         `flowkit.` are written by the crate"
    )]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// A section name is empty or contains a dot, which separates it from the paths of its
    /// parameters.
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
    #[error("the checkpoint has no {kind} `{name}`, only {available:?}")]
    MissingSection {
        /// `"module"` or `"bytes"`.
        kind: &'static str,
        /// The requested name.
        name: String,
        /// The sections of that kind that exist.
        available: Vec<String>,
    },
    /// The module has a parameter that the checkpoint lacks.
    #[error("the checkpoint has no tensor `{name}` (expected shape {shape:?})")]
    MissingTensor {
        /// Section and path of the parameter.
        name: String,
        /// The shape of the parameter.
        shape: Vec<usize>,
    },
    /// The checkpoint has tensors that the module lacks.
    #[error("the checkpoint has tensors that the module does not: {names:?}")]
    UnexpectedTensors {
        /// Sections and paths of the tensors.
        names: Vec<String>,
    },
    /// A parameter and its stored tensor differ in shape.
    #[error(
        "`{name}`: expected shape {expected:?}, the module's, found {found:?} in the checkpoint"
    )]
    ShapeMismatch {
        /// Section and path of the parameter.
        name: String,
        /// The shape of the parameter.
        expected: Vec<usize>,
        /// The shape of the stored tensor.
        found: Vec<usize>,
    },
    /// A parameter and its stored tensor differ in element type.
    #[error(
        "`{name}`: expected elements of type {expected:?}, the module's, found {found:?} in the \
         checkpoint"
    )]
    DTypeMismatch {
        /// Section and path of the parameter.
        name: String,
        /// The element type of the parameter.
        expected: DType,
        /// The element type of the stored tensor.
        found: DType,
    },
    /// The module computes a different function from the one that was saved, or is initialised or
    /// trained in a different way.
    #[error(
        "`{name}`: the module has {}, the checkpoint was saved with {}{}",
        value(expected),
        value(found),
        further(more)
    )]
    OtherArchitecture {
        /// Section and path of the first field, or module, that differs.
        name: String,
        /// Its value, or type, in the module; `None` if the module lacks it.
        expected: Option<String>,
        /// Its value, or type, in the checkpoint; `None` if the checkpoint lacks it.
        found: Option<String>,
        /// Number of further differences.
        more: usize,
    },
    /// Another program wrote the module to the file without its architecture.
    #[error(
        "the checkpoint does not record the architecture of the module in `{section}`: write the \
         module with `Checkpoint::insert`"
    )]
    NoArchitecture {
        /// The section.
        section: String,
    },
    /// Two places hold one parameter in the module but two in the checkpoint, or the reverse.
    #[error(
        "`{first}` and `{second}` are {}: a run can only continue with the same tied parameters",
        if *in_file {
            "one parameter in the checkpoint and two in the module"
        } else {
            "one parameter in the module and two in the checkpoint"
        }
    )]
    OtherTies {
        /// Section and path of the first place.
        first: String,
        /// Section and path of the second place.
        second: String,
        /// True if they are one parameter in the checkpoint, false if they are one in the module.
        in_file: bool,
    },
    /// The state of an optimizer cannot be read or written.
    #[error("the optimizer's state `{name}`: {reason}")]
    Optimizer {
        /// Its section.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of an optimizer's state does not belong to the module.
    #[error("`{name}`, the optimizer's state of the parameter `{parameter}`: {fault}")]
    OptimizerState {
        /// Section, number of the parameter in the file, and part.
        name: String,
        /// Path of the parameter in the module; empty if there is none, or if the module is a
        /// parameter.
        parameter: String,
        /// What is wrong with it.
        fault: StateFault,
    },
    /// A configuration states more or fewer parameters than the checkpoint holds.
    #[error(
        "`{section}`: expected {}, as the configuration has, found {found} in the checkpoint",
        counted(*expected, "parameter")
    )]
    OtherSize {
        /// The section.
        section: String,
        /// Number of parameters of the configuration.
        expected: usize,
        /// Number of parameters in the file.
        found: usize,
    },
    /// The model of the checkpoint cannot be trained.
    #[error("the run cannot continue: {source}")]
    Training {
        /// Why.
        r#source: TrainError,
    },
    /// A folder contains checkpoints of the same update or of later ones that do not belong to this
    /// run.
    #[error(
        "{} has a checkpoint of update {later} from another run, so update {step} was not saved; \
         resume from that checkpoint, choose another folder, or replace the other run \
         (`Checkpoints::replacing`)",
        folder.display()
    )]
    LaterCheckpoint {
        /// The folder.
        folder: PathBuf,
        /// The update that was to be saved.
        step: u64,
        /// The newest update with a checkpoint: `step` or a later one.
        later: u64,
    },
    /// A piece of metadata is missing or cannot be read or written.
    #[error("`{key}` of the checkpoint: {reason}")]
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
    /// A parameter could not be copied from its device.
    #[error("`{name}` cannot be read from its device: {reason}")]
    Device {
        /// Section and path of the parameter.
        name: String,
        /// What the device reported.
        reason: String,
    },
}

impl CheckpointError {
    /// Whether the file was read and does not contain a valid checkpoint. A file that could not be
    /// read may be intact.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::NotSafetensors { .. } | Self::NotCheckpoint { .. } | Self::Checksum { .. }
        )
    }
}

/// One side of a difference.
fn value(value: &Option<String>) -> String {
    value.as_ref().map_or_else(|| "nothing".into(), |value| format!("`{value}`"))
}

/// The number of differences that are not named.
fn further(more: &usize) -> String {
    match more {
        0 => String::new(),
        &more => format!("; {}", counted(more, "more difference")),
    }
}
