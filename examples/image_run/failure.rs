//! Everything that can end an image example early.

use std::io;
use std::path::PathBuf;

use flowkit::data::DataError;
use flowkit::train::{CheckpointError, TrainError};
use flowkit::{ConfigError, FlowError};

#[derive(Debug, thiserror::Error)]
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
    #[error("cannot write to {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot make the picture {}: {reason}", path.display())]
    Picture { path: PathBuf, reason: String },
    #[error("--{flag} {given}: the run in {} has {saved}; leave the flag out, or choose another --out", out.display())]
    Contradiction { flag: &'static str, given: String, saved: String, out: PathBuf },
    #[error(
        "{} holds a run that is not finished: {done} updates of {} are done; go on with it by --resume, delete it by --overwrite, or \
         choose another --out", out.display(), .of.map_or("as many as there is time for".into(), |steps| steps.to_string())
    )]
    Unfinished { out: PathBuf, done: u64, of: Option<u64> },
    #[error("{} holds no {name} model", path.display())]
    OtherModel { path: PathBuf, name: &'static str },
    #[error("{} was not saved by this program: its settings are missing", path.display())]
    OtherProgram { path: PathBuf },
    #[error("{} holds a model configuration that cannot be read", path.display())]
    Config { path: PathBuf, source: serde_json::Error },
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
}
