//! Gzip files: a sequence of members, any of which may be followed by zeros.
//!
//! Tapes and some writers pad a file with zeros to a whole number of blocks. gzip and Python skip
//! the zeros; `MultiGzDecoder` does not.
//!
//! Reference: RFC 1952; the gzip manual, "Using gzip on tapes".

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of a gzip file: RFC 1952, 2.3.1.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The unpacked bytes of all members. The checksum of each is verified at its end.
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
        // Every iteration but the last advances in the file, so the loop ends.
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

/// Whether anything follows the zeros.
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
