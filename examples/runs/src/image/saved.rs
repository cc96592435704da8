//! What an earlier run left in its folder, for another one to go on from.

use std::fs;
use std::path::{Path, PathBuf};

use flowkit::train::{Checkpoint, CheckpointError, Checkpoints, Latest};
use serde::Deserialize;

use super::conduct::Conduct;
use super::failure::Failure;
use super::folder::Folder;
use super::history::History;
use super::settings::{self, Settings};
use super::source::Source;
use crate::complain;

/// Marks a checkpoint that could be written to the published file alone, among the metadata.
pub const ALONE: &str = "alone";

/// The checkpoint that a run goes on from.
pub struct Saved {
    /// `None` if there is no folder of them any more.
    pub checkpoints: Option<Checkpoints>,
    pub checkpoint: Checkpoint,
    step: u64,
    pub path: PathBuf,
    /// Whether only the published file holds it: it was lost from `checkpoints`, or never came
    /// there.
    pub is_lost: bool,
    pub settings: Settings,
    pub conduct: Conduct,
    pub history: History,
}

/// What a trainer keeps under `progress`, as far as it is needed here.
#[derive(Deserialize)]
struct Progress {
    step: u64,
}

/// Updates of a checkpoint.
fn step_of(checkpoint: &Checkpoint, path: &Path) -> Result<u64, Failure> {
    let text = checkpoint
        .metadata("progress")
        .ok_or_else(|| Failure::OtherProgram { path: path.to_path_buf() })?;
    let progress: Progress = serde_json::from_str(text)
        .map_err(|source| Failure::Config { path: path.to_path_buf(), source })?;
    Ok(progress.step)
}

impl Saved {
    /// The newest readable checkpoint of a folder, if there is one: of those in `checkpoints`, or
    /// else the one under the name that users know, which may be all that is left of them.
    pub fn find(folder: &Folder) -> Result<Option<Self>, Failure> {
        let there = |path: &Path| fs::symlink_metadata(path).is_ok();
        let (place, published) = (folder.checkpoints(), folder.published());
        // How many are to be kept is known from the checkpoint.
        let checkpoints = there(&place).then(|| Checkpoints::open(&place, 1)).transpose()?;
        let latest = match checkpoints.as_ref().map(Checkpoints::latest).transpose() {
            Err(CheckpointError::AllDamaged { damaged, .. })
                if Checkpoint::load(&published).is_ok() =>
            {
                damaged.iter().for_each(|damage| complain!("warning: {damage}"));
                None
            }
            latest => latest?.flatten(),
        };
        let other = if there(&published) { Some(Checkpoint::load(&published)) } else { None };
        // Where the last save had no other place. Any other published file is not newer, unless a
        // user took its double away.
        let newer = |latest: &Latest| {
            let alone = other
                .as_ref()
                .and_then(|other| other.as_ref().ok())
                .filter(|other| other.metadata(ALONE).is_some());
            alone
                .and_then(|alone| step_of(alone, &published).ok())
                .is_some_and(|step| step > latest.step)
        };
        let is_lost = latest.as_ref().is_none_or(newer);
        let (checkpoint, path) = match (latest, &checkpoints, other) {
            (Some(latest), Some(checkpoints), _) if !is_lost => {
                for damage in &latest.damaged {
                    complain!("warning: {damage}; going on from update {}", latest.step);
                }
                (latest.checkpoint, checkpoints.path(latest.step))
            }
            (.., Some(other)) => (other?, published),
            _ => return Ok(None),
        };
        let settings = settings::read(&checkpoint, &path)?;
        let conduct = Conduct::read(&checkpoint, &path)?;
        let step = step_of(&checkpoint, &path)?;
        let history = History::read(&checkpoint, &path, step)?;
        Ok(Some(Self { checkpoints, checkpoint, step, path, is_lost, settings, conduct, history }))
    }

    /// Where its images came from.
    pub fn source(&self) -> Result<Option<Source>, Failure> {
        Source::saved(&self.settings, &self.path)
    }

    /// An error if the run has not reached its end.
    pub fn check_finished(&self, out: &Path) -> Result<(), Failure> {
        if self.conduct.is_over(self.step, &self.history) {
            return Ok(());
        }
        let of = self.conduct.time.is_none().then_some(self.conduct.steps);
        Err(Failure::Unfinished { out: out.to_path_buf(), done: self.step, of })
    }
}
