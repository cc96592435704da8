//! Writes an archive of stored entries.
//!
//! Time stamps are 0, which stands for no time, so equal entries give equal bytes. An entry has
//! fields of 64 bits only where it needs them.

use std::io::{Error, ErrorKind, Result, Write};

use crc32fast::Hasher;

use super::{
    CENTRAL, ELSEWHERE_16, ELSEWHERE_32, END, END_64, EXTRA_64, LOCAL, LOCATOR_64, is_name,
};

/// The version of the specification that is needed to read an entry, without and with numbers of 64
/// bits: 2.0 and 4.5.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;

/// The name is UTF-8.
const UTF_8: u16 = 1 << 11;

/// The first of January 1980, the earliest date that the format has.
const DATE: u16 = 1 << 5 | 1;

/// An archive that is being written.
pub(in super::super) struct Writer<'a> {
    out: &'a mut dyn Write,
    /// Bytes written.
    at: u64,
    directory: Vec<u8>,
    entries: u64,
}

impl<'a> Writer<'a> {
    pub(in super::super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, at: 0, directory: vec![], entries: 0 }
    }

    /// Adds an entry. `contents` are written twice: their checksum comes before them.
    pub(in super::super) fn add(
        &mut self,
        name: &str,
        contents: impl Fn(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let length = match u16::try_from(name.len()) {
            Ok(length) if is_name(name) => length,
            _ => {
                let text = format!("an archive cannot have an entry of the name `{name}`");
                return Err(Error::new(ErrorKind::InvalidInput, text));
            }
        };
        let mut sum = Sum { size: 0, hasher: Hasher::new() };
        contents(&mut sum)?;
        let (size, checksum) = (sum.size, sum.hasher.finalize());
        let start = self.at;
        let mut local = LOCAL.to_vec();
        Header { size, checksum, start: None, length }.write(&mut local, &[]);
        local.extend(name.as_bytes());
        local.extend(extra(size, None));
        self.write(&local)?;
        contents(self.out)?;
        self.at += size;

        self.directory.extend(CENTRAL);
        self.directory.extend(VERSION_64.to_le_bytes());
        let start_field = narrow(start);
        let mut tail = [0; 14];
        // Behind the lengths of a comment, the number of a disk and attributes, all 0.
        tail[10..].copy_from_slice(&start_field.to_le_bytes());
        Header { size, checksum, start: Some(start), length }.write(&mut self.directory, &tail);
        self.directory.extend(name.as_bytes());
        self.directory.extend(extra(size, Some(start)));
        self.entries += 1;
        Ok(())
    }

    /// Writes the directory.
    pub(in super::super) fn finish(mut self) -> Result<()> {
        let (start, size, entries) = (self.at, self.directory.len() as u64, self.entries);
        let mut end = std::mem::take(&mut self.directory);
        let is_wide = entries >= ELSEWHERE_16.into()
            || narrow(start) == ELSEWHERE_32
            || narrow(size) == ELSEWHERE_32;
        if is_wide {
            end.extend(END_64);
            // Length of the rest.
            end.extend(44_u64.to_le_bytes());
            end.extend(VERSION_64.to_le_bytes());
            end.extend(VERSION_64.to_le_bytes());
            end.extend([0; 8]);
            for number in [entries, entries, size, start] {
                end.extend(number.to_le_bytes());
            }
            end.extend(LOCATOR_64);
            end.extend([0; 4]);
            end.extend((start + size).to_le_bytes());
            end.extend(1_u32.to_le_bytes());
        }
        let entries = u16::try_from(entries).unwrap_or(ELSEWHERE_16);
        end.extend(END);
        end.extend([0; 4]);
        end.extend(entries.to_le_bytes());
        end.extend(entries.to_le_bytes());
        end.extend(narrow(size).to_le_bytes());
        end.extend(narrow(start).to_le_bytes());
        end.extend([0; 2]);
        self.write(&end)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// What the two headers of an entry have in common.
struct Header {
    size: u64,
    checksum: u32,
    /// Where the entry begins, in the directory.
    start: Option<u64>,
    /// Of the name.
    length: u16,
}

impl Header {
    fn write(&self, header: &mut Vec<u8>, tail: &[u8]) {
        let extra = extra(self.size, self.start);
        let version = if extra.is_empty() { VERSION } else { VERSION_64 };
        // Method 0 is stored; the time is midnight.
        for field in [version, UTF_8, 0, 0, DATE] {
            header.extend(field.to_le_bytes());
        }
        let size = narrow(self.size);
        for field in [self.checksum, size, size] {
            header.extend(field.to_le_bytes());
        }
        header.extend(self.length.to_le_bytes());
        header.extend((extra.len() as u16).to_le_bytes());
        header.extend(tail);
    }
}

/// The field of 32 bits for a number.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(ELSEWHERE_32)
}

/// The extra field with the numbers that need 64 bits; empty if there is none. The specification
/// wants both sizes in a local header.
fn extra(size: u64, start: Option<u64>) -> Vec<u8> {
    let sizes = if narrow(size) == ELSEWHERE_32 { vec![size, size] } else { vec![] };
    let start = start.filter(|&start| narrow(start) == ELSEWHERE_32);
    let numbers: Vec<u8> = sizes.into_iter().chain(start).flat_map(u64::to_le_bytes).collect();
    if numbers.is_empty() {
        return numbers;
    }
    let head = [EXTRA_64, numbers.len() as u16];
    head.into_iter().flat_map(u16::to_le_bytes).chain(numbers).collect()
}

/// Size and checksum of what is written to it.
struct Sum {
    size: u64,
    hasher: Hasher,
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of 4 GiB are too large for a test; their fields are not.
    #[test]
    fn numbers_of_64_bits_are_in_the_extra_field() {
        const WIDE: u64 = u32::MAX as u64;
        let field = |numbers: &[u64]| {
            let mut field = vec![1, 0, 8 * numbers.len() as u8, 0];
            field.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            field
        };
        assert_eq!(extra(WIDE - 1, Some(WIDE - 1)), []);
        assert_eq!(extra(WIDE, None), field(&[WIDE, WIDE]));
        assert_eq!(extra(WIDE + 7, Some(3)), field(&[WIDE + 7, WIDE + 7]));
        assert_eq!(extra(5, Some(WIDE)), field(&[WIDE]));
        assert_eq!(extra(WIDE, Some(WIDE + 1)), field(&[WIDE, WIDE, WIDE + 1]));
        assert_eq!(
            [narrow(WIDE - 1), narrow(WIDE), narrow(WIDE + 1)],
            [u32::MAX - 1, u32::MAX, u32::MAX]
        );
    }
}
