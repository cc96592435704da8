//! Checkpoints of a run: a folder with the newest few, of which one can always be read.
//! ```text
//! FOLDER/0000001200.safetensors     one file an update that was saved, named after its number
//! FOLDER/0000001300.safetensors.damaged   one that could not be read, for its owner to look at
//! FOLDER/.lock                      held by the process that writes there
//! ```
//! A file is written beside its place, flushed to the disk and renamed (see [`super::checkpoint`]); only when that is done and durable are
//! older files deleted. Whatever moment a process dies at, the folder holds the checkpoint before or the new one.
//!
//! [`Checkpoints::latest`] goes from the newest file to the oldest and takes the first whose checksum is right; it reports the others. A file
//! that cannot be read at all (no permission, a disk that fails) is an error, since it may be good. What is damaged is never deleted: it gets
//! the ending `.damaged` when the run saves again.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, create_folder, remove_leftovers, sync_folder};
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
        create_folder(&folder).map_err(fail)?;
        let lock = File::create(folder.join(".lock")).map_err(fail)?;
        // A file system without locks cannot tell; the run goes on as it would have without asking.
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(CheckpointError::InUse { folder });
        }
        remove_leftovers(&folder).map_err(fail)?;
        Ok(Self { folder, keep, _lock: lock })
    }

    /// Keeps another number of checkpoints from now on.
    ///
    /// # Errors
    /// [`CheckpointError::KeepNone`].
    pub fn with_keep(self, keep: usize) -> Result<Self, CheckpointError> {
        if keep == 0 { Err(CheckpointError::KeepNone) } else { Ok(Self { keep, ..self }) }
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
    /// [`CheckpointError::UnsupportedVersion`] and [`CheckpointError::Read`] of the newest file that is not damaged.
    pub fn latest(&self) -> Result<Option<Latest>, CheckpointError> {
        let mut damaged = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match Checkpoint::load(self.path(step)) {
                Ok(checkpoint) => return Ok(Some(Latest { step, checkpoint, damaged })),
                Err(error) if error.is_damage() => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        if damaged.is_empty() {
            return Ok(None);
        }
        Err(CheckpointError::AllDamaged { folder: self.folder.clone(), damaged })
    }

    /// Saves the checkpoint of an update. When it is durable, deletes the ones before it but for the newest `keep − 1`, and all of later
    /// updates: they belong to a course of events that this checkpoint has replaced. Those of them that cannot be read are renamed instead.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]: nothing was deleted, unless deleting is what failed.
    pub fn save(&self, step: u64, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let path = self.add(step, checkpoint)?;
        let steps = self.steps()?;
        let mut gone = false;
        // The newest first: what is left after a kill in between is then the newest but for this one, or damaged.
        for &later in steps.iter().filter(|&&other| other > step).rev() {
            match Checkpoint::load(self.path(later)) {
                Ok(_) => self.remove(later)?,
                Err(_) => self.set_aside(later)?,
            }
            gone = true;
        }
        for &earlier in steps.iter().filter(|&&other| other < step).rev().skip(self.keep - 1) {
            self.remove(earlier)?;
            gone = true;
        }
        if gone {
            sync_folder(&self.folder).map_err(|source| CheckpointError::Write { path: self.folder.clone(), source })?;
        }
        Ok(path)
    }

    /// Saves the checkpoint of an update and deletes none: for a state that may be worth less than those before it.
    ///
    /// # Errors
    /// [`CheckpointError::Write`].
    pub fn add(&self, step: u64, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let path = self.path(step);
        checkpoint.save(&path)?;
        Ok(path)
    }

    fn remove(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path(step);
        fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })
    }

    fn set_aside(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path(step);
        let aside = self.folder.join(format!("{step:010}.{EXTENSION}.damaged"));
        fs::rename(&path, aside).map_err(|source| CheckpointError::Write { path, source })
    }
}
