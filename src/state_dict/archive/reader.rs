//! The entries of an archive, and their bytes.

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Read, Result as IoResult};
use std::ops::Range;

use crc32fast::Hasher;
use flate2::bufread::DeflateDecoder;

use super::super::fault::Fault;
use super::super::field::Fields;
use super::{
    CENTRAL, ELSEWHERE_16, ELSEWHERE_32, END, END_64, EXTRA_64, LOCAL, LOCATOR_64, is_name,
};

/// Bytes of records without what follows them.
const END_LENGTH: usize = 22;
const END_64_LENGTH: usize = 56;
const LOCATOR_64_LENGTH: usize = 20;

/// Bits of an entry's flags: some kind of encryption; sizes after the bytes; a patch.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const SIZES_AFTER: u16 = 1 << 3;
const PATCH: u16 = 1 << 5;

/// Most bytes that a byte of Deflate expands to: zlib's manual, "Maximum expansion factor".
const MOST_EXPANSION: u64 = 1032;

/// How the bytes of an entry are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Stored,
    Deflated,
}

/// One file of an archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) packing: Packing,
    pub(crate) packed: &'a [u8],
    /// Number of bytes when unpacked.
    pub(crate) size: u64,
    pub(crate) checksum: u32,
}

/// Where a directory is.
struct Directory {
    start: usize,
    end: usize,
    entries: u64,
}

/// The entries of an archive, in the order of its directory.
pub(crate) fn entries(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Fault> {
    let directory = directory(bytes)?;
    let mut fields = Fields::new(&bytes[directory.start..directory.end], "the directory");
    let (mut entries, mut names, mut ranges) = (vec![], BTreeSet::new(), vec![]);
    // Each iteration reads bytes of the directory, so a number of entries that is too large ends
    // in an error.
    for _ in 0..directory.entries {
        let central = Central::read(&mut fields)?;
        let name = central.name;
        if !names.insert(name) {
            return Err(Fault::broken("there are two entries of this name").of(name));
        }
        let (entry, range) =
            local(&bytes[..directory.start], &central).map_err(|fault| fault.of(name))?;
        ranges.push((range.start, range.end, name));
        entries.push(entry);
    }
    fields.end()?;
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        let [(_, end, first), (start, _, second)] = [pair[0], pair[1]];
        if start < end {
            return Err(format!("the entries `{first}` and `{second}` share bytes").into());
        }
    }
    Ok(entries)
}

/// The directory, from the records at the end of the file.
fn directory(bytes: &[u8]) -> Result<Directory, Fault> {
    let at = end_record(bytes).ok_or("there is no end record that ends with the file")?;
    let mut fields = Fields::new(&bytes[at + END.len()..], "the end record");
    let disks = [fields.u16()?, fields.u16()?];
    let counts = [fields.u16()?, fields.u16()?];
    let (size, start) = (fields.u32()?, fields.u32()?);
    let mut claimed = Claimed {
        disks: disks.map(u32::from),
        counts: counts.map(u64::from),
        size: size.into(),
        start: start.into(),
    };
    let mut end = at;
    if let Some(locator) = at.checked_sub(LOCATOR_64_LENGTH)
        && bytes[locator..].starts_with(&LOCATOR_64)
    {
        let (wide, record) = end_record_64(bytes, locator)?;
        let fits = claimed.disks == wide.disks
            && (0..2).all(|i| counts[i] == ELSEWHERE_16 || claimed.counts[i] == wide.counts[i])
            && (size == ELSEWHERE_32 || claimed.size == wide.size)
            && (start == ELSEWHERE_32 || claimed.start == wide.start);
        if !fits {
            return Err("the end record and its zip64 record differ".into());
        }
        (claimed, end) = (wide, record);
    }
    if claimed.disks != [0, 0] || claimed.counts[0] != claimed.counts[1] {
        return Err(Fault::unsupported("the archive is in several parts"));
    }
    let (start, size) = (usize::try_from(claimed.start).ok(), usize::try_from(claimed.size).ok());
    match (start, size) {
        (Some(start), Some(size)) if start.checked_add(size) == Some(end) => {
            Ok(Directory { start, end, entries: claimed.counts[1] })
        }
        _ => Err(format!(
            "the directory of {} bytes at {} does not end where the end record begins, at {end}",
            claimed.size, claimed.start
        )
        .into()),
    }
}

/// What an end record says.
struct Claimed {
    disks: [u32; 2],
    counts: [u64; 2],
    size: u64,
    start: u64,
}

/// Where the end record begins: it is followed by a comment, whose length it says, and by nothing
/// else.
fn end_record(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LENGTH)?;
    let first = last.saturating_sub(u16::MAX.into());
    (first..=last).rev().find(|&at| {
        let comment = u16::from_le_bytes([bytes[at + 20], bytes[at + 21]]);
        bytes[at..].starts_with(&END) && last - at == usize::from(comment)
    })
}

/// The zip64 end record that a locator points to, and where it begins.
fn end_record_64(bytes: &[u8], locator: usize) -> Result<(Claimed, usize), Fault> {
    let what = "the zip64 locator";
    let mut fields = Fields::new(&bytes[locator + LOCATOR_64.len()..], what);
    let (disk, at, disks) = (fields.u32()?, fields.u64()?, fields.u32()?);
    let at = usize::try_from(at).ok().filter(|at| {
        at.checked_add(END_64_LENGTH).is_some_and(|end| end <= locator)
            && bytes[*at..].starts_with(&END_64)
    });
    let at = at.ok_or("the zip64 locator does not point to a zip64 end record")?;
    let record = &bytes[at + END_64.len()..locator];
    let mut fields = Fields::new(record, "the zip64 end record");
    // The length of what follows the field.
    if fields.u64()?.checked_add(8) != Some(record.len() as u64) {
        return Err("the zip64 end record does not end where its locator begins".into());
    }
    let _versions = fields.u32()?;
    let claimed = Claimed {
        disks: [fields.u32()?, fields.u32()?],
        counts: [fields.u64()?, fields.u64()?],
        size: fields.u64()?,
        start: fields.u64()?,
    };
    if disk != 0 || disks > 1 {
        return Err(Fault::unsupported("the archive is in several parts"));
    }
    Ok((claimed, at))
}

/// An entry of the directory.
struct Central<'a> {
    name: &'a str,
    flags: u16,
    method: u16,
    checksum: u32,
    packed: u64,
    size: u64,
    start: u64,
}

impl<'a> Central<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, Fault> {
        if fields.bytes(CENTRAL.len())? != CENTRAL {
            return Err("expected another entry of the directory".into());
        }
        fields.bytes(4)?; // Versions.
        let (flags, method) = (fields.u16()?, fields.u16()?);
        fields.bytes(4)?; // Time and date.
        let checksum = fields.u32()?;
        let (packed, size) = (fields.u32()?, fields.u32()?);
        let [name, extra, comment] = [fields.u16()?, fields.u16()?, fields.u16()?];
        let disk = fields.u16()?;
        fields.bytes(6)?; // Attributes.
        let start = fields.u32()?;
        let name = checked_name(fields.bytes(name.into())?)?;
        let mut wide = Wide::of(fields.bytes(extra.into())?).map_err(|fault| fault.of(name))?;
        fields.bytes(comment.into())?;
        if disk != 0 {
            return Err(Fault::unsupported("the archive is in several parts"));
        }
        // The order is that of the specification.
        let mut widened = |short: u32| wide.next(short).map_err(|fault| fault.of(name));
        let (size, packed, start) = (widened(size)?, widened(packed)?, widened(start)?);
        Ok(Self { name, flags, method, checksum, packed, size, start })
    }
}

/// The numbers of 64 bits in an entry's extra fields.
struct Wide<'a>(Fields<'a>);

impl<'a> Wide<'a> {
    fn of(extra: &'a [u8]) -> Result<Self, Fault> {
        let mut fields = Fields::new(extra, "the extra fields");
        // What is too short for a field is padding.
        while fields.remaining() >= 4 {
            let (kind, length) = (fields.u16()?, fields.u16()?);
            let own = fields.bytes(length.into())?;
            if kind == EXTRA_64 {
                return Ok(Self(Fields::new(own, "the zip64 extra field")));
            }
        }
        Ok(Self(Fields::new(&[], "the zip64 extra field")))
    }

    /// The number of which a field of 32 bits has the lower half or says that it is here.
    fn next(&mut self, short: u32) -> Result<u64, Fault> {
        if short == ELSEWHERE_32 { self.0.u64() } else { Ok(short.into()) }
    }
}

/// A name may have slashes, as TensorFlow's scopes do, but is no path out of the archive.
fn checked_name(name: &[u8]) -> Result<&str, Fault> {
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(format!("the name {:?} is not UTF-8", String::from_utf8_lossy(name)).into());
    };
    match is_name(name) {
        true => Ok(name),
        false => Err(Fault::broken("expected a name, found a path out of the archive").of(name)),
    }
}

/// The entry that the directory describes, and where it is with its local header. `bytes` end where
/// the directory begins.
fn local<'a>(bytes: &'a [u8], central: &Central<'a>) -> Result<(Entry<'a>, Range<usize>), Fault> {
    let Central { name, flags, method, checksum, size, .. } = *central;
    if flags & ENCRYPTED != 0 {
        return Err(Fault::unsupported("the entry is encrypted"));
    }
    if flags & PATCH != 0 {
        return Err(Fault::unsupported("the entry is a patch"));
    }
    let packing = match method {
        0 => Packing::Stored,
        8 => Packing::Deflated,
        other => {
            let text = format!("expected method 0 (stored) or 8 (deflated), found {other}");
            return Err(Fault::unsupported(text));
        }
    };
    let outside = || Fault::broken("the entry is not within the file");
    let start = usize::try_from(central.start).map_err(|_| outside())?;
    let rest = bytes.get(start..).ok_or_else(outside)?;
    let mut fields = Fields::new(rest, "the local header");
    if fields.bytes(LOCAL.len())? != LOCAL {
        return Err("there is no local header where the directory says".into());
    }
    fields.bytes(2)?; // Version.
    let (own_flags, own_method) = (fields.u16()?, fields.u16()?);
    fields.bytes(4)?; // Time and date.
    let (own_checksum, own_packed, own_size) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (name_length, extra) = (fields.u16()?, fields.u16()?);
    let own_name = fields.bytes(name_length.into())?;
    let mut wide = Wide::of(fields.bytes(extra.into())?)?;
    let mut same =
        own_name == name.as_bytes() && own_method == method && own_flags & (ENCRYPTED | PATCH) == 0;
    if own_flags & SIZES_AFTER == 0 {
        let sizes = (wide.next(own_size)?, wide.next(own_packed)?);
        same &= own_checksum == checksum && sizes == (size, central.packed);
    }
    if !same {
        return Err("the local header and the directory differ".into());
    }
    let packed = usize::try_from(central.packed).map_err(|_| outside())?;
    let packed = fields.bytes(packed).map_err(|_| outside())?;
    let most = match packing {
        Packing::Stored if size != central.packed => {
            let text = format!("{} stored bytes are not {size}", packed.len());
            return Err(text.into());
        }
        Packing::Stored => size,
        Packing::Deflated => central.packed.saturating_mul(MOST_EXPANSION),
    };
    if size > most {
        return Err(format!("{} deflated bytes do not expand to {size}", packed.len()).into());
    }
    let range = start..bytes.len() - fields.remaining();
    Ok((Entry { name, packing, packed, size, checksum }, range))
}

impl<'a> Entry<'a> {
    /// The unpacked bytes. Size and checksum are verified where they end, and no byte is read
    /// beyond the size.
    pub(crate) fn reader(&self) -> Reader<'a> {
        let stream = match self.packing {
            Packing::Stored => Stream::Stored(self.packed),
            Packing::Deflated => Stream::Deflated(DeflateDecoder::new(self.packed)),
        };
        Reader { entry: *self, stream, hasher: Hasher::new(), read: 0 }
    }
}

enum Stream<'a> {
    Stored(&'a [u8]),
    Deflated(DeflateDecoder<&'a [u8]>),
}

/// The unpacked bytes of an entry.
pub(crate) struct Reader<'a> {
    entry: Entry<'a>,
    stream: Stream<'a>,
    hasher: Hasher,
    read: u64,
}

impl Reader<'_> {
    /// An error unless nothing follows.
    pub(crate) fn end(mut self) -> Result<(), Fault> {
        match self.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("bytes follow the array".into()),
            Err(error) => Err(error.to_string().into()),
        }
    }

    fn verify(&mut self) -> IoResult<()> {
        let wrong = |text: String| Err(Error::new(ErrorKind::InvalidData, text));
        let Entry { size, checksum, packed, .. } = self.entry;
        if self.read != size {
            return wrong(format!("expected {size} bytes, found {}", self.read));
        }
        let found = self.hasher.clone().finalize();
        if found != checksum {
            return wrong(format!("expected the checksum {checksum:08x}, found {found:08x}"));
        }
        if let Stream::Deflated(decoder) = &mut self.stream {
            if decoder.read(&mut [0])? > 0 {
                return wrong(format!("expected {size} bytes, found more"));
            }
            if decoder.total_in() != packed.len() as u64 {
                return wrong("bytes follow the end of the deflated ones".to_owned());
            }
        }
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let left = usize::try_from(self.entry.size - self.read).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let buffer = &mut buffer[..most];
        let n = match &mut self.stream {
            Stream::Stored(bytes) => bytes.read(buffer)?,
            Stream::Deflated(decoder) => decoder.read(buffer)?,
        };
        self.hasher.update(&buffer[..n]);
        self.read += n as u64;
        if n == 0 {
            self.verify()?;
        }
        Ok(n)
    }
}
