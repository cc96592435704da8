//! Safetensors files in their parts, so that an edit of the header leaves the rest in its place.
//! ```text
//! 8 bytes, little-endian    length of the header
//! header                    JSON, padded with blanks
//! elements
//! ```

use flowkit::train::{Checkpoint, CheckpointError};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::target::{Input, put};
use super::{bytes, document};

/// A file in its parts.
#[derive(Clone, Debug)]
pub struct Stored {
    header: Value,
    elements: Vec<u8>,
}

impl Stored {
    /// The parts of a file that is right.
    pub fn of(file: &[u8]) -> Self {
        let (length, rest) = file.split_at(8);
        let (header, elements) =
            rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        Self { header: serde_json::from_slice(header).unwrap(), elements: elements.to_vec() }
    }

    /// The file with another architecture of the module `model`.
    pub fn claiming(mut self, architecture: &Value) -> Vec<u8> {
        let text = &mut self.header["__metadata__"]["flowkit.sections"];
        let mut sections: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        sections["model"]["module"]["architecture"] = architecture.clone();
        *text = sections.to_string().into();
        self.write()
    }

    fn write(&self) -> Vec<u8> {
        let mut header = self.header.to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        [&(header.len() as u64).to_le_bytes(), &header[..], &self.elements].concat()
    }
}

/// Changes of a file.
#[derive(Clone, Debug)]
pub struct Edits {
    file: Index,
    header: Vec<document::Edit>,
    elements: Vec<bytes::Edit>,
    /// Changes that know nothing of the parts.
    raw: Vec<bytes::Edit>,
}

pub fn edits() -> impl Strategy<Value = Edits> {
    let raw = prop_oneof![3 => bytes::edits(0), 1 => bytes::edits(3)];
    let elements = prop_oneof![1 => bytes::edits(0), 1 => bytes::edits(2)];
    (any::<Index>(), document::edits(3), elements, raw)
        .prop_map(|(file, header, elements, raw)| Edits { file, header, elements, raw })
}

/// One of the files with its changes. The number of elements stays, since any other is seen at
/// once.
pub fn edited(files: &[Stored], edits: &Edits) -> Vec<u8> {
    let file = &files[edits.file.index(files.len())];
    let headers: Vec<Value> = files.iter().map(|file| file.header.clone()).collect();
    let header = document::edited(&file.header, &edits.header, &headers);
    let mut elements =
        bytes::edited(&file.elements, &edits.elements, std::slice::from_ref(&file.elements));
    elements.resize(file.elements.len(), 0);
    let whole = Stored { header, elements }.write();
    bytes::edited(&whole, &edits.raw, std::slice::from_ref(&whole))
}

/// Reads a checkpoint. Where its checksum is wrong, that is an error and it is made right: what a
/// checksum hides is there for everybody who can compute it.
pub fn read(input: &Input<'_>) -> Result<Checkpoint, CheckpointError> {
    let read = Checkpoint::load(input.path);
    let Err(CheckpointError::Checksum { found, .. }) = &read else { return read };
    assert!(!read.as_ref().unwrap_err().to_string().is_empty());
    let key = b"\"flowkit.crc32\":\"";
    let Some(at) = input.bytes.windows(key.len()).position(|window| window == key) else {
        return read;
    };
    let mut mended = input.bytes.to_vec();
    let place = mended.iter_mut().skip(at + key.len());
    place.zip(format!("{found:08x}").into_bytes()).for_each(|(byte, digit)| *byte = digit);
    put(input.path, &mended);
    Checkpoint::load(input.path)
}
