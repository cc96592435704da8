//! Checkpoints of a run: a folder with the newest few, of which one can always be read.
//! ```text
//! FOLDER/0000001200.safetensors     one file an update that was saved, named after its number
//! FOLDER/.lock                      held by the process that writes there
//! ```
//! A file is written beside its place, flushed to the disk and renamed (see [`super::checkpoint`]); only when that is done and durable are
//! older files deleted. Whatever moment a process dies at, the folder holds the checkpoint before or the new one.
//!
//! [`Checkpoints::latest`] goes from the newest file to the oldest and takes the first whose checksum is right; it reports the others.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, remove_leftovers};
use super::error::CheckpointError;

/// What comes after the number of a file.
const EXTENSION: &str = "safetensors";

/// The folder of a run's checkpoints, open for one process.
///
/// ```
/// use flowkit::train::{Checkpoint, Checkpoints};
///
/// let folder = tempfile::tempdir()?;
/// let checkpoints = Checkpoints::open(folder.path(), 2)?;
/// assert!(checkpoints.latest()?.is_none());
/// for step in [100, 200, 300] {
///     checkpoints.save(step, &Checkpoint::new(Default::default())?)?;
/// }
/// assert_eq!(checkpoints.steps()?, [200, 300]);
/// // The newest is damaged: the one before it serves.
/// std::fs::write(checkpoints.path(300), b"cut sho")?;
/// let latest = checkpoints.latest()?.expect("one can be read");
/// assert_eq!((latest.step, latest.damaged.len()), (200, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
    /// Holds the lock, which the system lets go of when the process ends, however it ends.
    _lock: File,
}

/// The newest checkpoint that can be read.
#[derive(Debug)]
pub struct Latest {
    /// Number of the update after which it was saved.
    pub step: u64,
    /// What it holds.
    pub checkpoint: Checkpoint,
    /// What is wrong with the newer ones, newest first.
    pub damaged: Vec<CheckpointError>,
}

impl Checkpoints {
    /// Opens a folder, which is made if there is none, and removes what a killed process left half written. The newest `keep` checkpoints
    /// will be kept.
    ///
    /// # Errors
    /// [`CheckpointError::KeepNone`]; [`CheckpointError::InUse`] while another process has the folder open; [`CheckpointError::Write`].
    pub fn open(folder: impl AsRef<Path>, keep: usize) -> Result<Self, CheckpointError> {
        let folder = folder.as_ref().to_path_buf();
        if keep == 0 {
            return Err(CheckpointError::KeepNone);
        }
        let fail = |source| CheckpointError::Write { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(fail)?;
        let lock = File::create(folder.join(".lock")).map_err(fail)?;
        // A file system without locks cannot tell; the run goes on as it would have without asking.
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(CheckpointError::InUse { folder });
        }
        remove_leftovers(&folder).map_err(fail)?;
        Ok(Self { folder, keep, _lock: lock })
    }

    /// The file of the checkpoint after an update.
    pub fn path(&self, step: u64) -> PathBuf {
        // Ten digits sort as numbers do; a run of more updates has longer names, which are read as numbers anyway.
        self.folder.join(format!("{step:010}.{EXTENSION}"))
    }

    /// The updates with a checkpoint, ascending, damaged ones among them.
    pub fn steps(&self) -> Result<Vec<u64>, CheckpointError> {
        let fail = |source| CheckpointError::Read { path: self.folder.clone(), source };
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                steps.extend(number.filter(|&step| self.path(step) == path));
            }
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest checkpoint that can be read; `None` if the folder holds none.
    ///
    /// # Errors
    /// [`CheckpointError::AllDamaged`] if there are some but none can be read, so that a run does not silently start anew;
    /// [`CheckpointError::UnsupportedVersion`] of the newest readable file, which is not damaged.
    pub fn latest(&self) -> Result<Option<Latest>, CheckpointError> {
        let mut damaged = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match Checkpoint::load(self.path(step)) {
                Ok(checkpoint) => return Ok(Some(Latest { step, checkpoint, damaged })),
                Err(error @ CheckpointError::UnsupportedVersion { .. }) => return Err(error),
                Err(error) => damaged.push(error),
            }
        }
        if damaged.is_empty() {
            return Ok(None);
        }
        Err(CheckpointError::AllDamaged { folder: self.folder.clone(), damaged })
    }

    /// Saves the checkpoint of an update. When it is durable, deletes the ones before it but for the newest `keep − 1`, and all of later
    /// updates: they belong to a course of events that this checkpoint has replaced, or are damaged.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]: nothing was deleted, unless deleting is what failed.
    pub fn save(&self, step: u64, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let path = self.path(step);
        checkpoint.save(&path)?;
        let steps = self.steps()?;
        let earlier = steps.iter().filter(|&&other| other < step).rev().skip(self.keep - 1);
        for &old in steps.iter().filter(|&&other| other > step).chain(earlier) {
            let path = self.path(old);
            fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })?;
        }
        Ok(path)
    }
}
