//! Writes a file atomically: it is replaced in one step or stays unchanged. Reads regular files
//! only.
//! ```text
//! 1. write a temporary file in the folder of the target, and flush it to the disk
//! 2. rename it to the target      a reader finds the earlier contents or the new ones
//! 3. flush the folder             the new name survives a power failure
//! ```
//! A rename would replace anything that has the name. So a symbolic link is followed to the file
//! that it names. A target that exists but is not a regular file (a folder, a device such as
//! `/dev/null`, a pipe, a socket, a broken link) is an error and is not touched. So is a read-only
//! file, one without any write permission: a rename would replace it all the same.
//!
//! On Unix, the new file has the permissions of the one that it replaces (its mode without the
//! set-id bits), so a private file stays private. A file that did not exist gets the permissions
//! that the umask leaves. Owner and group are those of the process.
//!
//! The target becomes a new file, so hard links are cut: other names of the earlier file keep the
//! earlier contents.
//!
//! All files of this crate are written this way.
//!
//! [`read`] reads regular files only: opening a pipe waits for a writer that may never come, and a
//! device such as `/dev/zero` has no end.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Prefix of the names of temporary files. It is followed by the name of the target, a hyphen and
/// six letters and digits: see [`is_leftover`].
pub const TEMPORARY: &str = ".writing-";

/// Random characters at the end of a temporary file's name.
const RANDOM: usize = 6;

/// Bytes of the longest name on common file systems.
const LONGEST_NAME: usize = 255;

/// The name of a temporary file, without its random characters. If the name would be too long, it
/// lacks the name of the target.
fn prefix(target: &OsStr) -> OsString {
    let mut name = OsString::from(TEMPORARY);
    if TEMPORARY.len() + target.len() + 1 + RANDOM <= LONGEST_NAME {
        name.push(target);
        name.push("-");
    }
    name
}

/// Whether this is the name of a file that [`write()`] leaves beside `target` if its process is
/// killed. A file whose name merely begins with [`TEMPORARY`] may be a user's.
///
/// ```
/// use flowkit::whole_file::is_leftover;
///
/// assert!(is_leftover(".writing-report.json-x7Kp0a", "report.json"));
/// assert!(!is_leftover(".writing-diary", "report.json"));
/// ```
pub fn is_leftover(name: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> bool {
    let random =
        name.as_ref().as_encoded_bytes().strip_prefix(prefix(target.as_ref()).as_encoded_bytes());
    random.is_some_and(|random| {
        random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric)
    })
}

/// Writes a file with `contents`, completely or not at all. The [module](self) describes the rules.
///
/// ```
/// use std::io::Write;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.json");
/// flowkit::whole_file::write(&path, |file| file.write_all(b"{}"))?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// // A target that is not a regular file is an error.
/// assert!(flowkit::whole_file::write(folder.path(), |file| file.write_all(b"{}")).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Errors from `contents` or the system; [`ErrorKind::InvalidInput`] for a target that is not a
/// regular file; [`ErrorKind::PermissionDenied`] for one that is read-only. The temporary file is
/// removed if anything fails before the rename.
pub fn write(
    path: impl AsRef<Path>,
    contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = target(path.as_ref())?;
    let replaced = permissions(&path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let prefix = prefix(path.file_name().unwrap_or_default());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).rand_bytes(RANDOM);
    // By default the temporary file is private, which would surprise whoever shares the folder; the
    // umask of the user still applies. A file that replaces another is private until it has the
    // permissions of the other.
    #[cfg(unix)]
    if replaced.is_none() {
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder)?;
    let mut writer = BufWriter::new(temporary.as_file());
    contents(&mut writer)?;
    writer.flush()?;
    drop(writer);
    if let Some(permissions) = replaced {
        temporary.as_file().set_permissions(permissions)?;
    }
    // If it were renamed before it is flushed, the file could be empty after a power failure.
    temporary.as_file().sync_all()?;
    temporary.persist(&path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// The contents of a regular file of at most `most` bytes. Reads no more bytes than the file holds
/// when it is opened.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("settings.json");
/// std::fs::write(&path, b"{}")?;
/// assert_eq!(flowkit::whole_file::read(&path, 2)?, b"{}");
/// assert!(flowkit::whole_file::read(&path, 1).is_err());
/// assert!(flowkit::whole_file::read(folder.path(), 2).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Errors from the system; [`ErrorKind::InvalidInput`] if the path, or the target of a link, is not
/// a regular file; [`ErrorKind::FileTooLarge`] for more than `most` bytes;
/// [`ErrorKind::OutOfMemory`].
pub fn read(path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open(path.as_ref())?;
    if length > most {
        let text = format!("expected at most {most} bytes, found {length}");
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file. Returns the number of its bytes too.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let check = |found: fs::Metadata| match found.is_file() {
        true => Ok(found.len()),
        false => {
            let text = format!("expected a regular file, found {}", kind(found.file_type()));
            Err(Error::new(ErrorKind::InvalidInput, text))
        }
    };
    // Checked before the file is opened, since opening a pipe to which nobody writes never returns.
    check(fs::metadata(path)?)?;
    let file = File::open(path)?;
    // Checked again, in case another file has taken its place.
    let length = check(file.metadata()?)?;
    Ok((file, length))
}

/// Opens the file that processes lock against each other, and creates it if it does not exist. A
/// link is an error: its file belongs to somebody else.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    if path.is_symlink() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("expected a regular file, found the symbolic link {}", path.display()),
        ));
    }
    File::options().create(true).write(true).truncate(false).open(target(path)?)
}

/// The regular file that a path names, or the path itself if nothing exists there.
fn target(path: &Path) -> io::Result<PathBuf> {
    let refused = |what: &str| {
        Err(Error::new(ErrorKind::InvalidInput, format!("expected a regular file, found {what}")))
    };
    match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path),
        Ok(found) => refused(kind(found.file_type())),
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            refused("a symbolic link that leads nowhere")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

/// The permissions of the file that is to be replaced; `None` if there is none.
fn permissions(path: &Path) -> io::Result<Option<fs::Permissions>> {
    let permissions = match fs::metadata(path) {
        Ok(found) => found.permissions(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if permissions.readonly() {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            "expected a writable file, found a read-only one",
        ));
    }
    // Like a write in place, this removes the right to run as another user.
    #[cfg(unix)]
    let permissions = {
        use std::os::unix::fs::PermissionsExt;
        fs::Permissions::from_mode(permissions.mode() & 0o777)
    };
    Ok(Some(permissions))
}

/// The name of a kind of file that is not regular.
fn kind(found: fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if found.is_char_device() || found.is_block_device() {
            return "a device";
        }
        if found.is_fifo() {
            return "a pipe";
        }
        if found.is_socket() {
            return "a socket";
        }
    }
    if found.is_dir() { "a folder" } else { "something that is not a regular file" }
}

/// Makes changes to the names in a folder durable, both additions and deletions.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Other systems cannot open folders as files, and need not.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_half_way_leaves_the_earlier_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, |file| file.write_all(b"earlier")).unwrap();
        let error = write(&path, |file| {
            file.write_all(&[0; 100_000])?;
            Err(Error::other("the disk is full"))
        });
        assert_eq!(error.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"earlier");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        write(&path, |file| file.write_all(b"later")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"later");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn permissions_of_the_earlier_file_are_kept() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        fs::write(&path, b"earlier").unwrap();
        // Permissions wider than a umask would leave, narrower ones, and ones without the right to
        // read.
        for (before, after) in
            [(0o600, 0o600), (0o640, 0o640), (0o666, 0o666), (0o200, 0o200), (0o4755, 0o755)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            write(&path, |file| file.write_all(b"later")).unwrap();
            assert_eq!(mode(), after, "{before:o}");
        }
        for before in [0o444, 0o400, 0o555, 0] {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            let error =
                write(&path, |_| panic!("the contents of a refused file are not asked for"))
                    .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{before:o}: {error}");
            assert_eq!(mode(), before);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"later");
        // Other names keep what they had.
        let other = folder.path().join("other");
        fs::hard_link(&path, &other).unwrap();
        write(&path, |file| file.write_all(b"last")).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), fs::read(&other).unwrap()),
            (b"last".into(), b"later".into())
        );
    }
}
