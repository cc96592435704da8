//! Everything that can end an image example early. Each text contains that of its cause: a field
//! `r#source`, instead of `source`, keeps thiserror from giving the cause once more.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use flowkit::data::DataError;
use flowkit::state_dict::StateDictError;
use flowkit::train::{CheckpointError, TrainError};
use flowkit::{ConfigError, FlowError};

use crate::complain;
use crate::counted::counted;
use crate::files::NotWritten;
use crate::signals::Signal;

/// What can end a run early.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The texts say it.
pub enum Failure {
    #[error("--{flag} {value}: must be {expected}")]
    Argument { flag: &'static str, value: String, expected: &'static str },
    #[error("--device {device}: this program was built without it; add `--features {device}`")]
    DeviceNotBuilt { device: &'static str },
    #[error("--device {device} cannot be used: {reason}")]
    DeviceUnusable { device: &'static str, reason: String },
    #[cfg(not(feature = "download"))]
    #[error("--download: this program was built without it; add `--features download`")]
    DownloadNotBuilt,
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
    #[error("{} is no checkpoint of this run: move it out of that folder", path.display())]
    InTheWay { path: PathBuf },
    #[error("{} is in use: another run trains there", out.display())]
    InUse { out: PathBuf },
    #[error("cannot listen for signals: {source}")]
    Signals { r#source: io::Error },
    #[error(
        "stopped by {signal} after update {step}, which is saved; continue with --resume --out {}",
        out.display()
    )]
    Stopped { signal: Signal, step: u64, out: PathBuf },
    #[error("cannot make the picture {}: {reason}", path.display())]
    Picture { path: PathBuf, reason: String },
    #[error(
        "--{flag} {given}: the run in {} has {saved}; leave the flag out, or choose another --out",
        out.display()
    )]
    Contradiction { flag: &'static str, given: String, saved: String, out: PathBuf },
    #[error(
        "{} holds a run that is not finished, after {} of {}; go on with it by --resume, delete \
         it by --overwrite, or choose another --out",
        out.display(),
        counted(*done, "update"),
        .of.map_or("as many as there is time for".into(), |steps| steps.to_string())
    )]
    Unfinished { out: PathBuf, done: u64, of: Option<u64> },
    #[error("{} holds no {name} model", path.display())]
    OtherModel { path: PathBuf, name: &'static str },
    #[error("{} was not saved by this program: its settings are missing", path.display())]
    OtherProgram { path: PathBuf },
    #[error("{} holds something of its run that cannot be read: {source}", path.display())]
    Config { path: PathBuf, r#source: serde_json::Error },
    #[error("{}: its {name} cannot be read: {source}", path.display())]
    Setting { path: PathBuf, name: &'static str, r#source: serde_json::Error },
    #[error("{}: `{what}` of its history must be {expected}, found {found}", path.display())]
    History { path: PathBuf, what: &'static str, found: String, expected: String },
    #[error(
        "{}: its run took its images from {taken}; a file does not choose what is read: say where \
         they are by {flag}",
        path.display()
    )]
    Unnamed { path: PathBuf, taken: String, flag: &'static str },
    #[error("--{task} needs one model, found {found}: give {expected}")]
    OneModel { task: &'static str, found: usize, expected: &'static str },
    #[error("--{flag} is for --eval and --sample: a training starts without weights")]
    NotForTraining { flag: &'static str },
    #[error("there are no images to evaluate")]
    NothingToEvaluate,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Model(#[from] ConfigError),
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error(transparent)]
    Training(#[from] TrainError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Weights(#[from] StateDictError),
}

impl Failure {
    /// Whether a save failed by what is, or is not, in its folder, so that another one may succeed.
    pub fn is_of_folder(&self) -> bool {
        use CheckpointError::{Read, Write};
        matches!(
            self,
            Self::NotWritten(_)
                | Self::InTheWay { .. }
                | Self::Checkpoint(Read { .. } | Write { .. })
        )
    }

    /// The exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Stopped { signal, .. } => signal.exit_code(),
            _ => 1,
        }
    }
}

/// Ends a program: an error is printed, with its causes in its text, and the exit code is not zero.
pub fn report(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    complain!("error: {failure}");
    ExitCode::from(failure.exit_code())
}
