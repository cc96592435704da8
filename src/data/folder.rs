//! The entries of a folder, in the same order on every file system, and which of them are the
//! user's data.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use super::{DataError, LayoutError, Remark, report};

/// Names, in lower case, of files and folders that operating systems, file servers and tools add to
/// a user's folder.
const SYSTEM: [&str; 21] = [
    "__macosx",
    "__pycache__",
    "network trash folder",
    "temporary items",
    "icon\r",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "$recycle.bin",
    "$extend",
    "system volume information",
    "found.000",
    "lost+found",
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "@__thumb",
    "@tmp",
    "#recycle",
    "#snapshot",
];

/// Kind of an entry, after links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    LinkedFolder,
    /// A file, or a broken link: reading the link reports the error.
    File,
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) name: OsString,
    pub(super) kind: Kind,
}

impl Found {
    /// Why it is not the user's data, independent of its contents.
    pub(super) fn foreign(&self) -> Option<Remark> {
        foreign(&self.name)
    }

    pub(super) fn remarked(&self, remark: Remark) -> report::ReportEntry {
        report::ReportEntry { remark, path: self.path.clone() }
    }
}

fn foreign(name: &OsStr) -> Option<Remark> {
    if name.as_encoded_bytes().starts_with(b".") {
        return Some(Remark::Hidden);
    }
    SYSTEM.iter().any(|system| name.eq_ignore_ascii_case(system)).then_some(Remark::System)
}

/// The entries of `dir` in order of name, byte by byte.
pub(super) fn entries(dir: &Path) -> Result<Vec<Found>, DataError> {
    if !fs::metadata(dir).map_err(DataError::io(dir))?.is_dir() {
        return Err(LayoutError::NotAFolder { path: dir.into() }.into());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(DataError::io(dir))? {
        let entry = entry.map_err(DataError::io(dir))?;
        let (path, name) = (entry.path(), entry.file_name());
        let own = entry.file_type().map_err(DataError::io(&path))?;
        let target = if own.is_symlink() {
            fs::metadata(&path).ok().map(|data| data.file_type())
        } else {
            Some(own)
        };
        let kind = match target {
            Some(target) if target.is_dir() && own.is_symlink() => Kind::LinkedFolder,
            Some(target) if target.is_dir() => Kind::Folder,
            Some(target) if !target.is_file() => Kind::Other,
            _ => Kind::File,
        };
        entries.push(Found { path, name, kind });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Remarks on the entries of `dir` that are left out because `is_read` is false for them.
pub(super) fn not_in_set(
    entries: &[Found],
    is_read: impl Fn(&Found) -> bool,
) -> Vec<report::ReportEntry> {
    let others = entries.iter().filter(|entry| !is_read(entry));
    others.map(|entry| entry.remarked(entry.foreign().unwrap_or(Remark::NotInSet))).collect()
}
