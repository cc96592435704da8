//! The idx format of MNIST, as it is or packed by gzip: a big-endian header of a magic number and the dimensions, then bytes.
//!
//! The magic number is two zeros, the type of the elements (8: unsigned bytes) and the number of dimensions. What a file holds decides
//! whether it is unpacked, not its name.
//!
//! Reference: LeCun, Cortes & Burges, *The MNIST database of handwritten digits*, "File formats for the MNIST database".

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::DataError;

/// Unsigned bytes in this many dimensions.
const fn magic(n_dims: u32) -> u32 {
    0x0800 | n_dims
}

/// The number of records of a file of `N` dimensions, the first of which counts them, and their bytes.
///
/// `what` names the content in errors, and `check` is asked about the dimensions of a record before anything is read.
pub(super) fn read<const N: usize>(
    path: &Path,
    what: &'static str,
    check: impl Fn(&[usize]) -> Result<(), DataError>,
) -> Result<(usize, Vec<u8>), DataError> {
    let mut file = BufReader::new(File::open(path).map_err(DataError::io(path))?);
    let packed = file.fill_buf().map_err(DataError::io(path))?.starts_with(&[0x1f, 0x8b]); // RFC 1952, 2.3.1
    if packed {
        parse::<N, _>(Source { path, packed, of: MultiGzDecoder::new(file) }, what, check)
    } else {
        parse::<N, _>(Source { path, packed, of: file }, what, check)
    }
}

/// A stream of bytes whose errors are named.
struct Source<'a, R> {
    path: &'a Path,
    packed: bool,
    of: R,
}

impl<R: Read> Source<'_, R> {
    /// Up to `n` bytes; fewer where the stream ends. `before` came out already.
    fn read(&mut self, n: u64, before: usize) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        match (&mut self.of).take(n).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.error(error, before + bytes.len())),
        }
    }

    /// Reads to the end and counts.
    fn rest(&mut self, before: usize) -> Result<u64, DataError> {
        io::copy(&mut self.of, &mut io::sink()).map_err(|error| self.error(error, before))
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

fn parse<const N: usize, R: Read>(
    mut source: Source<'_, R>,
    what: &'static str,
    check: impl Fn(&[usize]) -> Result<(), DataError>,
) -> Result<(usize, Vec<u8>), DataError> {
    let path = source.path;
    let header_len = 4 * (1 + N);
    let header = source.read(header_len as u64, 0)?;
    let mut words = header.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().expect("four bytes")));
    // The magic number first: a file of another kind may be shorter than this header.
    match words.next() {
        Some(found) if found != magic(N as u32) => {
            return Err(DataError::IdxMagic { path: path.into(), what, expected: magic(N as u32), found });
        }
        _ if header.len() < header_len => {
            return Err(DataError::TruncatedHeader { path: path.into(), expected: header_len, found: header.len() });
        }
        _ => {}
    }
    let dims: [usize; N] = std::array::from_fn(|_| words.next().expect("the header is whole") as usize);
    if dims[0] == 0 {
        return Err(DataError::NoRecords { path: path.into() });
    }
    check(&dims[1..])?;
    // The check left a record small, and the count is below 2^32: no overflow.
    let record = dims[1..].iter().product::<usize>();
    let expected = dims[0] as u64 * record as u64;
    let bytes = source.read(expected, header_len)?;
    if (bytes.len() as u64) < expected {
        let (record_number, found) = (bytes.len() / record, bytes.len() % record);
        return Err(DataError::TruncatedRecord { path: path.into(), record: record_number, expected: record, found });
    }
    let rest = source.rest(header_len + bytes.len())?;
    if rest != 0 {
        let expected = header_len as u64 + expected;
        return Err(DataError::TrailingBytes { path: path.into(), records: dims[0], expected, found: expected + rest });
    }
    Ok((dims[0], bytes))
}
