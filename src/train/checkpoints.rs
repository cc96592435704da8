//! Checkpoints of a run: a folder with the newest few, of which one can always be read.
//! ```text
//! FOLDER/0000001200.safetensors     one file an update that was saved, named after its number
//! FOLDER/0000001300.safetensors.damaged   one that could not be read, for its owner to look at
//! FOLDER/.lock                      held by the process that writes there
//! ```
//! A file is written under a temporary name, flushed to the disk and renamed (see [`whole_file`](crate::whole_file)).
//! Older files are deleted only when this is done and durable. Whenever a process dies, the folder holds the previous
//! checkpoint or the new one.
//!
//! [`Checkpoints::latest`] goes from the newest file to the oldest and takes the first whose checksum is right; it reports the others. A file
//! that cannot be read at all (no permission, a disk that fails) is an error, since it may be good. What is damaged is never deleted: it gets
//! the ending `.damaged` when the run saves again.
//!
//! # Which checkpoints belong to a run
//! A run deletes only its own checkpoints:
//!
//! | checkpoint in the folder | belongs to |
//! |---|---|
//! | saved through this [`Checkpoints`] | this run |
//! | of the update that [`Checkpoints::latest`] returned, or of an earlier one | this run, which resumes from there |
//! | any other | another run. It is kept and not counted; if it is of a later update, saving is an error and writes nothing |
//!
//! A run that is to replace another one declares it with [`Checkpoints::replacing`].

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::checkpoint::{Checkpoint, create_folder, remove_leftovers};
use super::checkpoint_error::CheckpointError;
use crate::whole_file::{self, sync_folder};

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
    own: Mutex<Own>,
    /// Holds the lock, which the system lets go of when the process ends, however it ends.
    _lock: File,
}

/// Which checkpoints belong to this run.
#[derive(Debug, Default)]
struct Own {
    /// The update that the run resumed from: its checkpoint and earlier ones belong to the run.
    taken_over: Option<u64>,
    saved: BTreeSet<u64>,
    /// All checkpoints belong to the run.
    replacing: bool,
}

impl Own {
    /// Whether a checkpoint of an earlier update may be deleted.
    fn earlier(&self, step: u64) -> bool {
        self.replacing || self.saved.contains(&step) || self.taken_over.is_some_and(|last| step <= last)
    }

    /// Whether a checkpoint of a later update than the one being saved may be deleted. One that was only read may not.
    fn later(&self, step: u64) -> bool {
        self.replacing || self.saved.contains(&step)
    }
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
        let lock = whole_file::target(&folder.join(".lock"))
            .and_then(|lock| File::options().create(true).write(true).truncate(false).open(lock))
            .map_err(fail)?;
        // A file system without locks cannot tell; the run goes on as it would have without asking.
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(CheckpointError::InUse { folder });
        }
        remove_leftovers(&folder).map_err(fail)?;
        Ok(Self { folder, keep, own: Mutex::default(), _lock: lock })
    }

    /// Replaces any run in the folder: its checkpoints count as this run's, and the first save deletes those of later
    /// updates.
    pub fn replacing(self) -> Self {
        self.own().replacing = true;
        self
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        // Consistent at any time: a panic elsewhere does not invalidate it.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The newest checkpoint that can be read; `None` if the folder holds none. The run resumes from it: this
    /// checkpoint and those of earlier updates belong to this run from now on.
    ///
    /// # Errors
    /// [`CheckpointError::AllDamaged`] if there are some but none can be read, so that a run does not silently start anew;
    /// [`CheckpointError::UnsupportedVersion`] and [`CheckpointError::Read`] of the newest file that is not damaged.
    pub fn latest(&self) -> Result<Option<Latest>, CheckpointError> {
        let mut damaged = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match Checkpoint::load(self.path(step)) {
                Ok(checkpoint) => {
                    self.own().taken_over = Some(step);
                    return Ok(Some(Latest { step, checkpoint, damaged }));
                }
                Err(error) if error.is_damage() => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        if damaged.is_empty() {
            return Ok(None);
        }
        Err(CheckpointError::AllDamaged { folder: self.folder.clone(), damaged })
    }

    /// Saves the checkpoint of an update. When it is durable, older checkpoints of this run are deleted, except for the
    /// newest `keep − 1`. So are this run's checkpoints of later updates, because this checkpoint has replaced that
    /// course of the run. Checkpoints of later updates that cannot be read are renamed instead.
    ///
    /// # Errors
    /// [`CheckpointError::LaterCheckpoint`] if a later update has a checkpoint that can be read and is not this run's;
    /// nothing is written. [`CheckpointError::Write`]: nothing was deleted, unless deleting is what failed.
    pub fn save(&self, step: u64, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        // The newest first: what is left after a kill in between is then the newest but for this one, or damaged.
        let mut damaged = Vec::new();
        for later in self.steps()?.into_iter().filter(|&other| other > step).rev() {
            match Checkpoint::load(self.path(later)) {
                // A file of another version is a checkpoint, too.
                Ok(_) | Err(CheckpointError::UnsupportedVersion { .. }) if !self.own().later(later) => {
                    return Err(CheckpointError::LaterCheckpoint { folder: self.folder.clone(), step, later });
                }
                Ok(_) | Err(CheckpointError::UnsupportedVersion { .. }) => {}
                Err(_) => damaged.push(later),
            }
        }
        let path = self.add(step, checkpoint)?;
        let steps = self.steps()?;
        let mut gone = false;
        for &later in steps.iter().filter(|&&other| other > step).rev() {
            if damaged.contains(&later) {
                self.set_aside(later)?
            } else {
                self.remove(later)?
            }
            gone = true;
        }
        let own: Vec<u64> = steps.into_iter().filter(|&other| other < step && self.own().earlier(other)).collect();
        for &earlier in own.iter().rev().skip(self.keep - 1) {
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
        self.own().saved.insert(step);
        Ok(path)
    }

    fn remove(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path(step);
        fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })
    }

    fn set_aside(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path(step);
        let name = |more: &str| self.folder.join(format!("{step:010}.{EXTENSION}.damaged{more}"));
        let mut aside = name("");
        // Does not overwrite files that were set aside before.
        for number in 2.. {
            if aside.symlink_metadata().is_err() {
                break;
            }
            aside = name(&format!("-{number}"));
        }
        fs::rename(&path, aside).map_err(|source| CheckpointError::Write { path, source })
    }
}
