//! Checkpoints of a run: a folder with the newest few, at least one of which can always be read.
//! ```text
//! FOLDER/0000001200.safetensors           one file for each saved update, named after its number
//! FOLDER/0000001300.safetensors.damaged   one that could not be read, set aside for its owner
//! FOLDER/.lock                            held by the process that writes there; not a link
//! ```
//! All other files in the folder are left alone. Only checkpoints of exactly these names, and the
//! temporary files that [`whole_file`] makes of them, are renamed or deleted; only regular files
//! are deleted.
//!
//! A file is written under a temporary name, flushed to the disk and renamed (see [`whole_file`]).
//! Older files are deleted only when this is done and durable. Whenever a process dies, the folder
//! holds the previous checkpoint or the new one.
//!
//! [`Checkpoints::latest`] goes from the newest file to the oldest and returns the first whose
//! checksum is correct; it reports the others. A file that cannot be read at all (no permission, a
//! failing disk) is an error, since its content may be good.
//!
//! # What happens to other checkpoints
//! A save deletes the run's checkpoints of earlier updates, except for the newest, and those of
//! later updates. Each is read before that, and those in this table are not deleted:
//!
//! | checkpoint | of an earlier update | of the update that is saved, or of a later one |
//! |---|---|---|
//! | damaged | renamed to end in `.damaged` | renamed |
//! | cannot be read at all | stays | renamed |
//! | a link | stays | renamed; its file stays where it is |
//! | a folder or a pipe | stays | of a later update: renamed; of the one that is saved: an error |
//!
//! # Which checkpoints belong to a run
//! A run deletes, overwrites and renames only its own checkpoints:
//!
//! | checkpoint in the folder | belongs to |
//! |---|---|
//! | saved through this [`Checkpoints`] | this run |
//! | of the update that [`Checkpoints::latest`] returned, or of an earlier one | this run, which resumes from there |
//! | damaged, and skipped by [`Checkpoints::latest`] | this run, as long as it is damaged |
//! | any other, damaged or not | another run. It is kept and not counted |
//!
//! Saving or adding is an error, and writes nothing, if there is a checkpoint of another run, of
//! the same update or of a later one. It is also an error at an update before the one whose
//! checkpoint [`Checkpoints::latest`] returned. Saving again at the very update that the run
//! resumed from is allowed.
//!
//! A run that is to replace another one states so with [`Checkpoints::replacing`].

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::checkpoint::{Checkpoint, create_folder, remove_leftovers};
use super::checkpoint_error::CheckpointError;
use crate::whole_file::{self, TEMPORARY, sync_folder};

/// Extension of a file, after its number.
const EXTENSION: &str = "safetensors";

/// The name of the file of an update.
fn file_name(step: u64) -> String {
    // Names of ten digits sort like numbers. A run of more updates has longer names, which are read
    // as numbers anyway.
    format!("{step:010}.{EXTENSION}")
}

/// The update of a file with this name.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()?;
    (file_name(step) == name).then_some(step)
}

/// Whether a killed process left a file of this name.
fn is_leftover(name: &OsStr) -> bool {
    let target = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY)?.rsplit_once('-'));
    target.is_some_and(|(target, _)| {
        step_of(target).is_some() && whole_file::is_leftover(name, target)
    })
}

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
    /// Holds the lock, which the system releases when the process ends, however it ends.
    _lock: File,
}

/// Which checkpoints belong to this run.
#[derive(Debug, Default)]
struct Own {
    /// The update that the run resumed from: its checkpoint and earlier ones belong to the run.
    taken_over: Option<u64>,
    /// The damaged checkpoints that it skipped when it resumed.
    passed_over: BTreeSet<u64>,
    /// Checkpoints that it saved, and those of the run that it replaces.
    saved: BTreeSet<u64>,
}

impl Own {
    /// Whether a checkpoint of an earlier update may be deleted.
    fn earlier(&self, step: u64) -> bool {
        self.saved.contains(&step) || self.taken_over.is_some_and(|last| step <= last)
    }

    /// Whether a checkpoint of the update being saved, or of a later one, belongs to this run. A
    /// later one that was only read does not.
    fn in_the_way(&self, saving: u64, step: u64, damaged: bool) -> bool {
        let resumed = self.taken_over == Some(step) && step == saving;
        let passed_over = damaged && self.passed_over.contains(&step);
        self.saved.contains(&step) || resumed || passed_over
    }

    /// A file that appears at this place later is not this run's.
    fn forget(&mut self, step: u64) {
        self.saved.remove(&step);
        self.passed_over.remove(&step);
    }
}

/// The newest checkpoint that can be read.
#[derive(Debug)]
pub struct Latest {
    /// Number of the update after which it was saved.
    pub step: u64,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Errors of the newer ones, newest first.
    pub damaged: Vec<CheckpointError>,
}

impl Checkpoints {
    /// Opens a folder, creates it if there is none, and removes incomplete files of a killed
    /// process. The newest `keep` checkpoints will be kept.
    ///
    /// # Errors
    /// [`CheckpointError::KeepNone`]; [`CheckpointError::InUse`] while another process has the
    /// folder open; [`CheckpointError::Write`], also if `.lock` is a link or not a file.
    pub fn open(folder: impl AsRef<Path>, keep: usize) -> Result<Self, CheckpointError> {
        let folder = folder.as_ref().to_path_buf();
        if keep == 0 {
            return Err(CheckpointError::KeepNone);
        }
        let fail = |source| CheckpointError::Write { path: folder.clone(), source };
        create_folder(&folder).map_err(fail)?;
        let lock = whole_file::open_lock(&folder.join(".lock")).map_err(fail)?;
        // A file system without locks cannot tell. The run continues as without this check.
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(CheckpointError::InUse { folder });
        }
        remove_leftovers(&folder, is_leftover).map_err(fail)?;
        Ok(Self { folder, keep, own: Mutex::default(), _lock: lock })
    }

    /// Replaces any run in the folder: the present checkpoints count as this run's from now on. The
    /// first save overwrites the one of its update and deletes those of later updates.
    pub fn replacing(self) -> Self {
        // A folder that cannot be listed cannot be saved to either.
        let there = self.steps().unwrap_or_default();
        self.own().saved.extend(there);
        self
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        // Consistent at any time: a panic elsewhere does not invalidate it.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a different number of checkpoints from now on.
    ///
    /// # Errors
    /// [`CheckpointError::KeepNone`].
    pub fn with_keep(self, keep: usize) -> Result<Self, CheckpointError> {
        if keep == 0 { Err(CheckpointError::KeepNone) } else { Ok(Self { keep, ..self }) }
    }

    /// The file of the checkpoint after an update.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(file_name(step))
    }

    /// The updates with a checkpoint, ascending, including damaged ones.
    ///
    /// # Errors
    /// [`CheckpointError::Read`] if the folder cannot be listed.
    pub fn steps(&self) -> Result<Vec<u64>, CheckpointError> {
        let fail = |source| CheckpointError::Read { path: self.folder.clone(), source };
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(fail)? {
            steps.extend(entry.map_err(fail)?.file_name().to_str().and_then(step_of));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest checkpoint that can be read, or `None` if the folder contains none. The run
    /// resumes from it: this checkpoint and those of earlier updates belong to this run from now
    /// on.
    ///
    /// # Errors
    /// [`CheckpointError::AllDamaged`] if all are damaged, so that a run does not silently begin
    /// again; [`CheckpointError::UnsupportedVersion`] and [`CheckpointError::Read`] for the newest
    /// file that is not damaged.
    pub fn latest(&self) -> Result<Option<Latest>, CheckpointError> {
        let (mut damaged, mut passed_over) = (Vec::new(), Vec::new());
        for step in self.steps()?.into_iter().rev() {
            match Checkpoint::load(self.path(step)) {
                Ok(checkpoint) => {
                    let mut own = self.own();
                    own.taken_over = Some(step);
                    own.passed_over.extend(passed_over);
                    return Ok(Some(Latest { step, checkpoint, damaged }));
                }
                Err(error) if error.is_damage() => {
                    damaged.push(error);
                    passed_over.push(step);
                }
                Err(error) => return Err(error),
            }
        }
        if damaged.is_empty() {
            return Ok(None);
        }
        // A run that continues from another place may set them aside.
        self.own().passed_over.extend(passed_over);
        Err(CheckpointError::AllDamaged { folder: self.folder.clone(), damaged })
    }

    /// Saves the checkpoint of an update. When it is durable, older checkpoints of this run are
    /// deleted, except for the newest `keep − 1`. This run's checkpoints of later updates are
    /// deleted too, because this checkpoint has replaced that course of the run. Damaged ones are
    /// renamed instead: they get the ending `.damaged`. So do those of later updates that cannot be
    /// read or are not regular files; such ones of earlier updates stay.
    ///
    /// # Errors
    /// [`CheckpointError::LaterCheckpoint`] if this update or a later one has a checkpoint, damaged
    /// or not, that is not this run's; nothing is written. [`CheckpointError::Write`]: nothing was
    /// deleted, unless deletion itself failed.
    pub fn save(&self, step: u64, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let damaged = self.unreadable_from(step)?;
        let path = self.write(step, checkpoint, &damaged)?;
        let steps = self.steps()?;
        let mut gone = false;
        // A checkpoint that came after `unreadable_from` looked is not this run's.
        let is_own = |later: &u64| damaged.contains(later) || self.own().saved.contains(later);
        // The newest last: after a kill in between, the newest file is either the newest before
        // this save or this save's own. No other file ever becomes the newest.
        for &later in steps.iter().filter(|&&other| other > step && is_own(&other)) {
            if damaged.contains(&later) || !self.is_file(later) {
                self.set_aside(later)?
            } else {
                self.remove(later)?
            }
            gone = true;
        }
        let is_own =
            |&other: &u64| other < step && self.own().earlier(other) && self.is_file(other);
        let own: Vec<u64> = steps.into_iter().filter(is_own).collect();
        for &earlier in own.iter().rev().skip(self.keep - 1) {
            match Checkpoint::load(self.path(earlier)) {
                Err(error) if error.is_damage() => self.set_aside(earlier)?,
                // Its content may be good.
                Err(CheckpointError::Read { .. }) => continue,
                _ => self.remove(earlier)?,
            }
            gone = true;
        }
        if gone {
            sync_folder(&self.folder)
                .map_err(|source| CheckpointError::Write { path: self.folder.clone(), source })?;
        }
        Ok(path)
    }

    /// Saves the checkpoint of an update and deletes none, for a state that may be worth less than
    /// earlier ones.
    ///
    /// # Errors
    /// As [`Checkpoints::save`].
    pub fn add(&self, step: u64, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let damaged = self.unreadable_from(step)?;
        self.write(step, checkpoint, &damaged)
    }

    /// The updates from `step` on whose files cannot be read. It is an error if one of their
    /// checkpoints is not this run's.
    fn unreadable_from(&self, step: u64) -> Result<Vec<u64>, CheckpointError> {
        let mut unreadable = Vec::new();
        for other in self.steps()?.into_iter().filter(|&other| other >= step).rev() {
            let path = self.path(other);
            // A folder or a pipe of such a name is no run's checkpoint. Writing to its place is an
            // error anyway.
            if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
                if other > step {
                    unreadable.push(other);
                }
                continue;
            }
            let found = Checkpoint::load(path);
            let damaged = found.as_ref().is_err_and(CheckpointError::is_damage);
            if !self.own().in_the_way(step, other, damaged) {
                return Err(CheckpointError::LaterCheckpoint {
                    folder: self.folder.clone(),
                    step,
                    later: other,
                });
            }
            // A file of another version is a checkpoint too.
            if !matches!(found, Ok(_) | Err(CheckpointError::UnsupportedVersion { .. })) {
                unreadable.push(other);
            }
        }
        Ok(unreadable)
    }

    fn write(
        &self,
        step: u64,
        checkpoint: &Checkpoint,
        unreadable: &[u64],
    ) -> Result<PathBuf, CheckpointError> {
        let path = self.path(step);
        // Writing follows links, and the target of a link is not a file of this run.
        if unreadable.contains(&step) || path.is_symlink() {
            self.set_aside(step)?;
        }
        let stood = path.exists();
        let written = checkpoint.save(&path);
        // A new file that exists, but may not be durable, is this run's too: the save can be
        // repeated.
        if written.is_ok() || (!stood && path.exists()) {
            self.own().saved.insert(step);
        }
        written.map(|()| path)
    }

    /// Whether a checkpoint is a regular file in this folder, and not a link.
    fn is_file(&self, step: u64) -> bool {
        fs::symlink_metadata(self.path(step)).is_ok_and(|found| found.is_file())
    }

    fn remove(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path(step);
        fs::remove_file(&path).map_err(|source| CheckpointError::Write { path, source })?;
        self.own().forget(step);
        Ok(())
    }

    fn set_aside(&self, step: u64) -> Result<(), CheckpointError> {
        let path = self.path(step);
        let name = |more: &str| self.folder.join(format!("{}.damaged{more}", file_name(step)));
        let mut aside = name("");
        // Does not overwrite files that were set aside before.
        for number in 2.. {
            if aside.symlink_metadata().is_err() {
                break;
            }
            aside = name(&format!("-{number}"));
        }
        fs::rename(&path, aside).map_err(|source| CheckpointError::Write { path, source })?;
        self.own().forget(step);
        Ok(())
    }
}
