//! The folder that contains checkpoints.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::whole_file::sync_folder;

/// Deletes the regular files in `folder` whose names `is_leftover` accepts: temporary files of a
/// process that was killed while writing them.
pub(in super::super) fn remove_leftovers(
    folder: &Path,
    is_leftover: impl Fn(&OsStr) -> bool,
) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_leftover(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Creates a folder and its missing parents, and makes their names durable.
pub(in super::super) fn create_folder(folder: &Path) -> io::Result<()> {
    let missing = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .count();
    std::fs::create_dir_all(folder)?;
    for made in folder.ancestors().take(missing) {
        match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent)?,
            _ => sync_folder(Path::new("."))?,
        }
    }
    Ok(())
}
