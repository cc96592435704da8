//! The fields of a record, one after the other.

use super::fault::Fault;

/// What is left of a record. Numbers are little-endian.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// The record, for errors.
    what: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// Number of bytes that are left.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
            let (what, found) = (self.what, self.rest.len());
            return Err(format!("{what}: expected {length} more bytes, found {found}").into());
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// The bytes up to the next line feed, which is left out.
    pub(super) fn line(&mut self) -> Result<&'a [u8], Fault> {
        let Some(length) = self.rest.iter().position(|&byte| byte == b'\n') else {
            return Err(format!("{}: expected a line, found no end of it", self.what).into());
        };
        let line = self.bytes(length)?;
        self.bytes(1)?;
        Ok(line)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut number = [0; N];
        number.copy_from_slice(self.bytes(N)?);
        Ok(number)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.number().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.number().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.number().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.number().map(u64::from_le_bytes)
    }

    /// An error unless nothing is left.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.rest.len() {
            0 => Ok(()),
            found => Err(format!("{}: expected its end, found {found} bytes", self.what).into()),
        }
    }
}
