//! The idx format of MNIST, plain or packed by gzip (in one member or several, with or without zero
//! padding): a big-endian header of a magic number and the dimensions, then bytes.
//!
//! The magic number is two zeros, the type of the elements (8: unsigned bytes) and the number of
//! dimensions. The content of a file decides whether it is unpacked, not its name.
//!
//! Reference: LeCun, Cortes & Burges, *The MNIST database of handwritten digits*, "File formats for
//! the MNIST database".

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use super::{DataError, gzip};
use crate::whole_file;

/// The magic number of unsigned bytes in this many dimensions.
const fn magic(n_dims: u32) -> u32 {
    0x0800 | n_dims
}

/// Most bytes of a file, unpacked: 1 GiB. The largest set in this format, EMNIST by class, has 0.5
/// GiB of images; a few kilobytes of gzip can unpack to any size.
const MAX_BYTES: u64 = 1 << 30;

/// A file of `N` dimensions whose header has been read. The first dimension is the number of
/// records.
pub(super) struct Idx<'a, const N: usize> {
    source: Source<'a>,
    /// The number of records that the header states.
    pub(super) n_records: usize,
    /// Bytes of a record.
    record: usize,
}

impl<'a, const N: usize> Idx<'a, N> {
    const HEADER: usize = 4 * (1 + N);

    /// Reads the header and nothing after it.
    ///
    /// `what` names the content in errors, and `check` checks the dimensions of a record.
    pub(super) fn open(
        path: &'a Path,
        what: &'static str,
        check: impl Fn(&[usize]) -> Result<(), DataError>,
    ) -> Result<Self, DataError> {
        let mut file = BufReader::new(whole_file::open(path).map_err(DataError::io(path))?.0);
        let packed = file.fill_buf().map_err(DataError::io(path))?.starts_with(&gzip::MAGIC);
        let of: Box<dyn Read> =
            if packed { Box::new(gzip::Members::new(file)) } else { Box::new(file) };
        let mut source = Source { path, packed, of };
        let header = source.read(Self::HEADER as u64, 0)?;
        let mut words = header
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes(word.try_into().expect("four bytes")));
        // The magic number is read first, because a file of another kind may be shorter than this
        // header.
        match words.next() {
            Some(found) if found != magic(N as u32) => {
                return Err(DataError::IdxMagic {
                    path: path.into(),
                    what,
                    expected: magic(N as u32),
                    found,
                });
            }
            _ if header.len() < Self::HEADER => {
                let (expected, found) = (Self::HEADER, header.len());
                return Err(DataError::TruncatedHeader { path: path.into(), expected, found });
            }
            _ => {}
        }
        let dims: [usize; N] =
            std::array::from_fn(|_| words.next().expect("the header is whole") as usize);
        if dims[0] == 0 {
            return Err(DataError::NoRecords { path: path.into() });
        }
        check(&dims[1..])?;
        // The check bounds a record, and the count is below 2^32, so nothing overflows.
        let record = dims[1..].iter().product::<usize>();
        let bytes = dims[0] as u64 * record as u64;
        if bytes > MAX_BYTES {
            return Err(DataError::TooLarge {
                path: path.into(),
                records: dims[0],
                bytes,
                max: MAX_BYTES,
            });
        }
        Ok(Self { source, n_records: dims[0], record })
    }

    /// The bytes of the records, after which the file must end.
    pub(super) fn records(mut self) -> Result<Vec<u8>, DataError> {
        let Self { n_records, record, .. } = self;
        let path = self.source.path;
        let expected = n_records as u64 * record as u64;
        let bytes = self.source.read(expected, Self::HEADER)?;
        if (bytes.len() as u64) < expected {
            let (number, found) = (bytes.len() / record, bytes.len() % record);
            return Err(DataError::TruncatedRecord {
                path: path.into(),
                record: number,
                expected: record,
                found,
            });
        }
        if !self.source.ends(Self::HEADER + bytes.len())? {
            let expected = Self::HEADER as u64 + expected;
            return Err(DataError::TrailingBytes {
                path: path.into(),
                records: n_records,
                expected,
            });
        }
        Ok(bytes)
    }
}

/// A stream of bytes whose errors name the file.
struct Source<'a> {
    path: &'a Path,
    packed: bool,
    of: Box<dyn Read>,
}

impl Source<'_> {
    /// Up to `n` bytes; fewer if the stream ends. `before` bytes were read already.
    fn read(&mut self, n: u64, before: usize) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        match (&mut self.of).take(n).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.error(error, before + bytes.len())),
        }
    }

    /// Whether the stream is at its end, where a packed stream verifies its checksum. Reading one
    /// more byte is enough to know.
    fn ends(&mut self, before: usize) -> Result<bool, DataError> {
        Ok(self.read(1, before)?.is_empty())
    }

    fn error(&self, source: io::Error, unpacked: usize) -> DataError {
        let path = self.path.into();
        if self.packed {
            DataError::Gzip { path, unpacked, reason: source.to_string() }
        } else {
            DataError::Io { path, source }
        }
    }
}
