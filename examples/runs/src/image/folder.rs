//! The folder that a run writes, file by file, each whole or absent.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use flowkit::whole_file::{self, TEMPORARY};

use super::failure::Failure;
use crate::files::{self, NotWritten};

/// The newest checkpoint's name in the folder.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// What a finished run writes beside it.
const RESULTS: [&str; 5] =
    ["report.json", "curve.svg", "samples.png", "reconstructions.png", "evaluation.json"];

/// The folder of a run.
pub struct Folder {
    path: PathBuf,
    /// Held until the program ends, however it ends.
    lock: Option<File>,
}

impl Folder {
    /// Makes the folder and tries to write there, before anything is computed.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        files::create(path)?;
        Ok(Self { path: path.to_path_buf(), lock: None })
    }

    /// Where it is, as the command line says it.
    pub fn out(&self) -> &Path {
        &self.path
    }

    /// Keeps other runs out. Where the system does not lock folders, the lock in `checkpoints`
    /// keeps them from saving.
    pub(super) fn lock(&mut self) -> Result<(), Failure> {
        let Ok(folder) = File::open(&self.path) else { return Ok(()) };
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            return Err(Failure::InUse { out: self.path.clone() });
        }
        self.lock = Some(folder);
        Ok(())
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the checkpoints of a run are.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.path("checkpoints")
    }

    /// The newest of them, under the name that users know.
    pub fn published(&self) -> PathBuf {
        self.path(CHECKPOINT)
    }

    /// Deletes the results of an earlier run, which would otherwise lie beside the checkpoints of
    /// another one.
    pub(super) fn remove_results(&self) -> Result<(), NotWritten> {
        RESULTS.into_iter().try_for_each(|name| self.remove(name))?;
        self.sync().map_err(|source| NotWritten { path: self.path.clone(), source })
    }

    /// Deletes a file of the program's, if it is there. A link or a folder of that name is somebody
    /// else's.
    fn remove(&self, name: &str) -> Result<(), NotWritten> {
        let path = self.path(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {
                fs::remove_file(&path).map_err(|source| NotWritten { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Makes the names in the folder durable, where a folder can be opened.
    fn sync(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }

    /// Deletes what a killed run left half written.
    pub(super) fn remove_leftovers(&self) -> Result<(), NotWritten> {
        let fail = |source| NotWritten { path: self.path.clone(), source };
        self.remove(&half_published())?;
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            if let Some(name) = name.to_str()
                && RESULTS.iter().any(|target| whole_file::is_leftover(name, target))
            {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    /// An error if something else is in the place of `checkpoint.safetensors`: renaming would
    /// replace a link, too.
    pub(super) fn check_published(&self) -> Result<(), NotWritten> {
        let path = self.published();
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            let source = io::Error::new(
                io::ErrorKind::InvalidInput,
                "what is in its place is no regular file",
            );
            return Err(NotWritten { path, source });
        }
        Ok(())
    }

    /// Makes `checkpoint.safetensors` another name of a checkpoint, or a copy where the file system
    /// has no second names.
    pub(super) fn publish(&self, checkpoint: &Path) -> Result<(), NotWritten> {
        let (path, temporary) = (self.published(), self.path(&half_published()));
        let fail = |source| NotWritten { path: path.clone(), source };
        self.check_published()?;
        self.remove(&half_published())?;
        let is_link = checkpoint.is_symlink();
        if is_link || fs::hard_link(checkpoint, &temporary).is_err() {
            let copied =
                fs::copy(checkpoint, &temporary).and_then(|_| File::open(&temporary)?.sync_all());
            if let Err(source) = copied {
                // A part of a copy would fill the disk further.
                let _ = self.remove(&half_published());
                return Err(fail(source));
            }
        }
        fs::rename(&temporary, &path).map_err(fail)?;
        self.sync().map_err(fail)?;
        // Renaming one name of a file to another of its names leaves both.
        self.remove(&half_published())
    }

    /// Writes a file, whole or not at all, and prints its path.
    pub(super) fn write(&self, name: &str, what: &str, bytes: &[u8]) -> Result<(), Failure> {
        Ok(files::write(&self.path(name), what, bytes)?)
    }
}

/// The name of `checkpoint.safetensors` while it is made.
fn half_published() -> String {
    format!("{TEMPORARY}{CHECKPOINT}")
}
