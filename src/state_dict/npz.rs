//! Archives of NumPy arrays: a zip file with an entry `NAME.npy` for each.
//!
//! An entry of Deflate expands at most 1032 times, and the packed bytes of all entries together are
//! at most those of the file: entries that share bytes are an error. So memory is bounded by a
//! multiple of the file.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use zip::read::ZipFile;
use zip::result::{ZipError, ZipResult};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{Array, npy};

/// The first bytes of a zip file, and those of one without entries.
pub(super) const MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// What the names of arrays are followed by in the archive.
const EXTENSION: &str = ".npy";

/// Most bytes that a byte of Deflate expands to.
const EXPANSION: u64 = 1032;

/// The arrays of an archive's bytes. An error says what was expected and what was found.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let mut arrays = BTreeMap::new();
    let mut packed = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| format!("entry {index}: {error}"))?;
        let name = entry.name().map_err(|error| format!("entry {index}: {error}"))?.into_owned();
        let fail = |reason: String| format!("entry `{name}`: {reason}");
        let Some(array_name) = name.strip_suffix(EXTENSION) else {
            return Err(fail(format!("expected a name that ends in `{EXTENSION}`")));
        };
        check_name(array_name).map_err(fail)?;
        packed = packed.saturating_add(entry.compressed_size());
        if packed > bytes.len() as u64 {
            return Err(fail("entries share bytes of the file".to_owned()));
        }
        let array = npy::read(&unpacked(entry).map_err(fail)?).map_err(fail)?;
        if arrays.insert(array_name.to_owned(), array).is_some() {
            return Err(fail("expected one entry of this name, found two".to_owned()));
        }
    }
    Ok(arrays)
}

/// Names may have slashes, as TensorFlow's scopes do, but are no paths out of the archive.
fn check_name(name: &str) -> Result<(), String> {
    let is_path = name.starts_with('/')
        || name.contains(['\\', '\0'])
        || name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if is_path { Err("expected a name, found a path".to_owned()) } else { Ok(()) }
}

/// The bytes of an entry, whose checksum is verified at its end.
fn unpacked<R: Read>(mut entry: ZipFile<'_, R>) -> Result<Vec<u8>, String> {
    let (packed, size) = (entry.compressed_size(), entry.size());
    let method = entry.compression();
    let most = match method {
        CompressionMethod::Stored => packed,
        CompressionMethod::Deflated => packed.saturating_mul(EXPANSION),
        other => return Err(format!("expected stored or deflated bytes, found {other}")),
    };
    if size > most {
        return Err(format!("{packed} packed bytes do not expand to {size}"));
    }
    let mut bytes = Vec::new();
    // One byte more than it should have is enough to know.
    let read = entry.by_ref().take(size.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 != size {
        return Err(format!("expected {size} bytes, found {}", bytes.len()));
    }
    Ok(bytes)
}

/// Writes an archive: stored, so that it can be mapped into memory, with equal bytes for equal
/// arrays.
pub(super) fn write(arrays: &BTreeMap<String, Array>, out: &mut dyn Write) -> ZipResult<()> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut archive = ZipWriter::new_stream(out);
    for (name, array) in arrays {
        let bytes = npy::write(array);
        // Entries of 4 GiB and more need other fields.
        let options = options.large_file(u32::try_from(bytes.len()).is_err());
        archive.start_file(format!("{name}{EXTENSION}"), options)?;
        archive.write_all(&bytes).map_err(ZipError::Io)?;
    }
    archive.finish().map(|_| ())
}
