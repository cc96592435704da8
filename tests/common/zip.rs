//! Zip archives in which any field may be a lie, and NumPy's arrays in which any field may be one.

use std::io::{Read, Write};
use std::ops::Range;

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;

pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;

/// What a field says of a number.
#[derive(Clone, Copy, Debug, Default)]
pub enum Field {
    #[default]
    True,
    Is(u64),
    Off(i64),
}

impl Field {
    pub fn of(self, truth: u64) -> u64 {
        match self {
            Self::True => truth,
            Self::Is(number) => number,
            Self::Off(step) => truth.wrapping_add_signed(step),
        }
    }
}

/// One entry. What is `None` is true.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub packed: Vec<u8>,
    pub size: u64,
    pub checksum: u32,
    /// What the directory says.
    pub packed_size: Field,
    pub start: Field,
    /// What the local header says.
    pub local_name: Option<Vec<u8>>,
    pub local_method: Option<u16>,
    pub local_size: Field,
    /// Whether its numbers are in the extra field of 64 bits.
    pub is_wide: bool,
}

impl Member {
    pub fn stored(name: &str, contents: &[u8]) -> Self {
        Self {
            name: name.into(),
            flags: 0,
            method: STORED,
            packed: contents.to_vec(),
            size: contents.len() as u64,
            checksum: crc32fast::hash(contents),
            packed_size: Field::True,
            start: Field::True,
            local_name: None,
            local_method: None,
            local_size: Field::True,
            is_wide: false,
        }
    }

    pub fn deflated(name: &str, contents: &[u8]) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(contents).unwrap();
        let packed = encoder.finish().unwrap();
        Self { method: DEFLATED, packed, ..Self::stored(name, contents) }
    }

    fn sizes(&self) -> [u64; 2] {
        [self.size, self.packed_size.of(self.packed.len() as u64)]
    }

    /// A header: versions, what both headers have, the lengths of name and extra field, `tail`.
    fn header(&self, local: bool, start: u64, tail: &[u8]) -> Vec<u8> {
        let [mut size, packed] = self.sizes();
        let (mut method, mut name) = (self.method, &self.name);
        if local {
            size = self.local_size.of(size);
            method = self.local_method.unwrap_or(method);
            name = self.local_name.as_ref().unwrap_or(name);
        }
        let mut extra = Vec::new();
        let mut numbers = vec![size, packed];
        numbers.extend((!local).then_some(self.start.of(start)));
        if self.is_wide {
            extra.extend([1, 0, 8 * numbers.len() as u8, 0]);
            extra.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            numbers.fill(u64::MAX);
        }
        let mut header = if local { b"PK\x03\x04".to_vec() } else { b"PK\x01\x02\x14\0".to_vec() };
        header.extend([20, 0]);
        for field in [self.flags, method, 0, 33] {
            header.extend(field.to_le_bytes());
        }
        for field in [self.checksum, numbers[1] as u32, numbers[0] as u32] {
            header.extend(field.to_le_bytes());
        }
        header.extend((name.len() as u16).to_le_bytes());
        header.extend((extra.len() as u16).to_le_bytes());
        header.extend(tail);
        if !local {
            header.extend((numbers[2] as u32).to_le_bytes());
        }
        header.extend(name);
        header.extend(extra);
        header
    }
}

/// An archive.
#[derive(Clone, Debug, Default)]
pub struct Zip {
    pub members: Vec<Member>,
    /// Whether it has a zip64 end record.
    pub is_wide: bool,
    pub count: Field,
    pub directory_size: Field,
    pub directory_start: Field,
    pub comment: Vec<u8>,
    pub tail: Vec<u8>,
}

impl Zip {
    pub fn of(members: impl IntoIterator<Item = Member>) -> Self {
        Self { members: members.into_iter().collect(), ..Self::default() }
    }

    pub fn write(&self) -> Vec<u8> {
        self.write_with_places().0
    }

    /// The file, and where its fields are.
    pub fn write_with_places(&self) -> (Vec<u8>, Places) {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        let (mut centrals, mut places) = (Vec::new(), Places::default());
        for member in &self.members {
            let start = bytes.len();
            places.add(start, &[(6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)]);
            bytes.extend(member.header(true, 0, &[]));
            places.contents.push(Contents {
                range: bytes.len()..bytes.len() + member.packed.len(),
                checksums: vec![start + 14],
                is_packed: member.method != STORED,
            });
            bytes.extend(&member.packed);
            centrals.push(directory.len());
            directory.extend(member.header(false, start as u64, &[0; 10]));
        }
        for (central, contents) in centrals.into_iter().zip(&mut places.contents) {
            contents.checksums.push(bytes.len() + central + 16);
            let fields = [(8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2)];
            let start = bytes.len() + central;
            places.fields.extend(fields.map(|(at, width)| (start + at, width)));
            places.fields.push((start + 42, 4));
        }
        let start = self.directory_start.of(bytes.len() as u64);
        let size = self.directory_size.of(directory.len() as u64);
        let count = self.count.of(self.members.len() as u64);
        bytes.extend(directory);
        let [mut short_count, mut short_size, mut short_start] = [count, size, start];
        if self.is_wide {
            let at = bytes.len();
            bytes.extend(b"PK\x06\x06");
            bytes.extend(44_u64.to_le_bytes());
            bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for number in [count, count, size, start] {
                bytes.extend(number.to_le_bytes());
            }
            places.add(at, &[(4, 8), (24, 8), (32, 8), (40, 8), (48, 8)]);
            places.add(bytes.len(), &[(4, 4), (8, 8), (16, 4)]);
            bytes.extend(b"PK\x06\x07\0\0\0\0");
            bytes.extend((at as u64).to_le_bytes());
            bytes.extend([1, 0, 0, 0]);
            [short_count, short_size, short_start] = [u64::MAX; 3];
        }
        places.add(bytes.len(), &[(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend((short_count as u16).to_le_bytes());
        bytes.extend((short_count as u16).to_le_bytes());
        bytes.extend((short_size as u32).to_le_bytes());
        bytes.extend((short_start as u32).to_le_bytes());
        bytes.extend((self.comment.len() as u16).to_le_bytes());
        bytes.extend(&self.comment);
        bytes.extend(&self.tail);
        (bytes, places)
    }
}

/// Where the fields of a file are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Numbers: where they begin, and their bytes.
    pub fields: Vec<(usize, usize)>,
    pub contents: Vec<Contents>,
}

/// The contents of an entry.
#[derive(Clone, Debug)]
pub struct Contents {
    pub range: Range<usize>,
    /// Where their CRC-32 is.
    pub checksums: Vec<usize>,
    pub is_packed: bool,
}

impl Places {
    fn add(&mut self, start: usize, fields: &[(usize, usize)]) {
        self.fields.extend(fields.iter().map(|(at, width)| (start + at, *width)));
    }
}

/// Names and contents of an archive that is right and has no numbers of 64 bits in its directory.
pub fn contents(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |at: usize, width: usize| {
        archive[at..at + width].iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
    };
    let end = archive.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    let (count, mut at) = (number(end + 10, 2), number(end + 16, 4));
    let mut files = Vec::new();
    for _ in 0..count {
        let (method, packed) = (number(at + 10, 2), number(at + 20, 4));
        let [name, extra, comment] = [28, 30, 32].map(|field| number(at + field, 2));
        let local = number(at + 42, 4);
        let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        let bytes = &archive[start..start + packed];
        let mut unpacked = Vec::new();
        match method as u16 {
            STORED => unpacked.extend(bytes),
            _ => drop(DeflateDecoder::new(bytes).read_to_end(&mut unpacked).unwrap()),
        }
        files.push((
            String::from_utf8(archive[at + 46..at + 46 + name].to_vec()).unwrap(),
            unpacked,
        ));
        at += 46 + name + extra + comment;
    }
    files
}

/// A NumPy array: version 1.0, any header.
pub fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

/// Its header.
pub fn header(descr: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")
}
