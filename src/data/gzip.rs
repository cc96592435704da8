//! Gzip files: members one behind the other, with zeros after any of them.
//!
//! Tapes and some writers pad a file with zeros to a whole number of blocks; gzip and Python skip them,
//! `MultiGzDecoder` does not.
//!
//! Reference: RFC 1952; the gzip manual, "Using gzip on tapes".

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// What a gzip file begins with: RFC 1952, 2.3.1.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The unpacked bytes of all members, each of which proves its checksum at its end.
pub(super) enum Members<R> {
    Within(GzDecoder<R>),
    Between(R),
    Ended,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(packed: R) -> Self {
        Self::Between(packed)
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Every turn but the last goes on in the file, so there is an end.
        loop {
            match self {
                Self::Within(member) => {
                    let n = member.read(buffer)?;
                    if n > 0 || buffer.is_empty() {
                        return Ok(n);
                    }
                }
                Self::Between(packed) => {
                    if !skip_zeros(packed)? {
                        *self = Self::Ended;
                    }
                }
                Self::Ended => return Ok(0),
            }
            *self = match std::mem::replace(self, Self::Ended) {
                Self::Within(member) => Self::Between(member.into_inner()),
                Self::Between(packed) => Self::Within(GzDecoder::new(packed)),
                Self::Ended => Self::Ended,
            };
        }
    }
}

/// Whether something else comes after the zeros.
fn skip_zeros(packed: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = packed.fill_buf()?;
        let (zeros, all) = (bytes.iter().take_while(|&&byte| byte == 0).count(), bytes.len());
        if all == 0 {
            return Ok(false);
        }
        packed.consume(zeros);
        if zeros < all {
            return Ok(true);
        }
    }
}
