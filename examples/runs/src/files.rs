//! Files that are written whole or not at all, and the folder of a run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flowkit::whole_file;

use crate::say;

/// A file or a folder that cannot be written. The text contains that of the cause: `r#source`,
/// instead of `source`, keeps thiserror from giving it once more.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to {}: {source}", path.display())]
pub struct NotWritten {
    /// The file, or the folder.
    pub path: PathBuf,
    /// Why.
    pub r#source: io::Error,
}

/// Makes a folder and tries to write there, before anything is computed.
///
/// # Errors
/// If it cannot be made, or nothing written to it.
pub fn create(folder: &Path) -> Result<(), NotWritten> {
    let fail = |source| NotWritten { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(fail)?;
    tempfile::tempfile_in(folder).map_err(fail)?;
    Ok(())
}

/// Writes a file and prints what it is, and its path.
///
/// # Errors
/// If it cannot be written; a file that was there before stays.
pub fn write(path: &Path, what: &str, contents: impl AsRef<[u8]>) -> Result<(), NotWritten> {
    let fail = |source| NotWritten { path: path.to_path_buf(), source };
    whole_file::write(path, |file| file.write_all(contents.as_ref())).map_err(fail)?;
    say!("{what:<15} {}", path.display());
    Ok(())
}
