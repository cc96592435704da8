//! Archives of NumPy arrays: a zip file with an entry `NAME.npy` for each.
//!
//! # Reference
//! The documentation of `numpy.savez` and `numpy.savez_compressed`.

use std::collections::BTreeMap;
use std::io::{Result as IoResult, Write};

use super::archive::{Entry, Writer};
use super::fault::Fault;
use super::{Array, npy};

/// What the names of arrays are followed by in the archive.
const EXTENSION: &str = ".npy";

/// The arrays of an archive.
pub(super) fn read(entries: &[Entry<'_>]) -> Result<BTreeMap<String, Array>, Fault> {
    let mut arrays = BTreeMap::new();
    for entry in entries {
        let Some(name) = entry.name.strip_suffix(EXTENSION) else {
            let text = format!("expected a name that ends in `{EXTENSION}`");
            return Err(Fault::broken(text).of(entry.name));
        };
        let array = npy::read(entry).map_err(|fault| fault.of(name))?;
        arrays.insert(name.to_owned(), array);
    }
    Ok(arrays)
}

/// Writes an archive of stored entries. Equal arrays give equal bytes.
pub(super) fn write(arrays: &BTreeMap<String, Array>, out: &mut dyn Write) -> IoResult<()> {
    let mut archive = Writer::new(out);
    for (name, array) in arrays {
        archive.add(&format!("{name}{EXTENSION}"), |out| npy::write(array, out))?;
    }
    archive.finish()
}
