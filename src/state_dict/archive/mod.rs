//! Zip archives in memory.
//! ```text
//! entry      local header, name, extra fields, packed bytes             one after another
//! directory  for each entry: header, name, extra fields, comment
//! zip64      end record and its locator, if a number has no place in the end record
//! end        end record, comment
//! ```
//! The directory is read by this file, and the packed bytes by the crates `flate2` and `crc32fast`.
//! The crate `zip` is written for archives of every kind: where a record is wrong, it looks for
//! another one further up, and it reserves memory for as many entries as a record claims. Here a
//! file has one reading or none:
//! - The end record ends with the file, the directory ends where that record begins, and it has as
//!   many entries as the record says.
//! - A local header agrees with the directory, and no byte belongs to two entries.
//! - No name occurs twice, is absolute or leads out of the archive.
//!
//! # Reference
//! PKWARE, "APPNOTE.TXT: .ZIP File Format Specification" 6.3.10, sections 4.3 to 4.5.

pub(super) use self::reader::{Entry, Packing, entries};
pub(super) use self::writer::Writer;

mod reader;
mod writer;

/// The first bytes of an archive, and of one without entries.
pub(super) const MAGIC: [[u8; 4]; 2] = [LOCAL, END];

/// First bytes of each record.
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";

/// The number of the extra field with sizes of 64 bits.
const EXTRA_64: u16 = 1;

/// What stands in a field of 16 or 32 bits if the number is in a field of 64 bits.
const ELSEWHERE_16: u16 = u16::MAX;
const ELSEWHERE_32: u32 = u32::MAX;

/// Whether an entry may have this name.
pub(super) fn is_name(name: &str) -> bool {
    // On Windows `C:/a` is absolute.
    let has_drive =
        matches!(name.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic());
    !has_drive
        && !name.contains(['\\', '\0'])
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
