//! The bytes of a checkpoint: header, checksum, tensors.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::super::checkpoint_error::CheckpointError;
use super::architecture::Architecture;
use super::section::{Blob, Section, StoredModule, StoredTensor, Tensors, burn_dtype};

/// Prefix of all metadata keys of the format.
pub(super) const RESERVED: &str = "flowkit.";
/// The header entry that safetensors reserves for metadata.
pub(super) const METADATA: &str = "__metadata__";
const FORMAT: &str = "flowkit.format";
const SECTIONS: &str = "flowkit.sections";
const CHECKSUM: &str = "flowkit.crc32";
const VERSION: &str = "2";
/// Length of the length field before the header, and the alignment after the header that
/// safetensors requires.
const WORD: usize = 8;

// The elements are written as they are in memory, and safetensors is little-endian.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "checkpoints are written on little-endian machines only"
);

/// The information about a section that its tensors alone do not contain.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Index {
    Module {
        /// The number of each parameter, by path. All places of one parameter have the same number.
        parameters: BTreeMap<String, u64>,
        /// Float parameters that are not trained.
        #[serde(default)]
        frozen: Option<BTreeSet<String>>,
        #[serde(default)]
        architecture: Option<Architecture>,
    },
    Bytes,
}

type Contents = (BTreeMap<String, String>, BTreeMap<String, Section>);

/// One tensor as it is in the file.
struct View<'a> {
    dtype: Dtype,
    /// `None` for plain bytes.
    shape: Option<&'a [usize]>,
    bytes: &'a [u8],
}

/// All tensors with their names in the file.
fn views(sections: &BTreeMap<String, Section>) -> Vec<(String, View<'_>)> {
    let mut views = Vec::new();
    for (name, section) in sections {
        match section {
            Section::Module(module) => views.extend(module.tensors.iter().map(|(path, tensor)| {
                let StoredTensor { dtype, shape, bytes, .. } = tensor;
                (
                    format!("{name}.{path}"),
                    View { dtype: *dtype, shape: Some(shape), bytes: bytes.as_slice() },
                )
            })),
            Section::Bytes(blob) => {
                let bytes = blob.as_slice();
                views.push((name.clone(), View { dtype: Dtype::U8, shape: None, bytes }));
            }
        }
    }
    views
}

/// CRC-32 (the polynomial of Ethernet and zip) over names, types, shapes, elements and metadata.
/// Every part is preceded by its length, so different contents never give the same sequence of
/// bytes.
fn checksum(views: &[(String, View<'_>)], metadata: &BTreeMap<String, String>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let mut order: Vec<_> = views.iter().collect();
    order.sort_by(|(left, _), (right, _)| left.cmp(right));
    for (name, view) in order {
        part(name.as_bytes());
        part(view.dtype.to_string().as_bytes());
        let shape: Vec<u8> = view
            .shape
            .unwrap_or(&[])
            .iter()
            .flat_map(|size| (*size as u64).to_le_bytes())
            .collect();
        part(&shape);
        part(view.bytes);
    }
    for (key, value) in metadata.iter().filter(|(key, _)| *key != CHECKSUM) {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    hasher.finalize()
}

/// Writes a whole file. The header is built here because the safetensors crate takes metadata in a
/// map of random order and requires all tensors in one buffer.
pub(super) fn write(
    file: &mut dyn Write,
    metadata: &BTreeMap<String, String>,
    sections: &BTreeMap<String, Section>,
) -> io::Result<()> {
    let index: BTreeMap<&String, Index> = sections
        .iter()
        .map(|(name, section)| match section {
            Section::Module(StoredModule { tensors, frozen, architecture }) => {
                let parameters =
                    tensors.iter().map(|(path, tensor)| (path.clone(), tensor.number)).collect();
                let (frozen, architecture) = (frozen.clone(), architecture.clone());
                (name, Index::Module { parameters, frozen, architecture })
            }
            Section::Bytes(_) => (name, Index::Bytes),
        })
        .collect();
    let mut metadata = metadata.clone();
    metadata.insert(FORMAT.to_owned(), VERSION.to_owned());
    metadata.insert(SECTIONS.to_owned(), serde_json::to_string(&index)?);
    let mut views = views(sections);
    metadata.insert(CHECKSUM.to_owned(), format!("{:08x}", checksum(&views, &metadata)));

    // Wide elements first, as in the crate, so that every tensor is aligned to its elements.
    views.sort_by(|(left_name, left), (right_name, right)| {
        right.dtype.bitsize().cmp(&left.dtype.bitsize()).then_with(|| left_name.cmp(right_name))
    });
    let mut header = serde_json::Map::new();
    header.insert(METADATA.to_owned(), serde_json::to_value(&metadata)?);
    let mut start = 0;
    for (name, view) in &views {
        let end = start + view.bytes.len();
        // A shape without axes is that of a single number, as other programs write it.
        let shape = view.shape.map_or_else(|| vec![view.bytes.len()], <[usize]>::to_vec);
        let info = TensorInfo { dtype: view.dtype, shape, data_offsets: (start, end) };
        header.insert(name.clone(), serde_json::to_value(info)?);
        start = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(WORD), b' ');

    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    views.iter().try_for_each(|(_, view)| file.write_all(view.bytes))
}

/// Reads a whole file.
pub(super) fn read(path: &Path, buffer: Vec<u8>) -> Result<Contents, CheckpointError> {
    let (header, info) = SafeTensors::read_metadata(&buffer).map_err(|error| {
        CheckpointError::NotSafetensors { path: path.to_owned(), reason: error.to_string() }
    })?;
    let no = |reason: &str| CheckpointError::NotCheckpoint {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let entries: HashMap<String, String> = info.metadata().clone().unwrap_or_default();
    let mut metadata: BTreeMap<String, String> = entries.into_iter().collect();

    let version = metadata.get(FORMAT).ok_or_else(|| no("there is no format version"))?;
    if version != VERSION {
        let (path, found) = (path.to_owned(), version.clone());
        return Err(CheckpointError::UnsupportedVersion { path, found, supported: VERSION });
    }
    let expected = metadata.get(CHECKSUM).and_then(|text| u32::from_str_radix(text, 16).ok());
    let expected = expected.ok_or_else(|| no("there is no checksum"))?;
    let index = metadata.get(SECTIONS).and_then(|text| serde_json::from_str(text).ok());
    let index: BTreeMap<String, Index> = index.ok_or_else(|| no("there is no list of sections"))?;
    let sections =
        sections(&info, index, WORD + header, Arc::new(buffer)).map_err(|reason| no(&reason))?;
    let found = checksum(&views(&sections), &metadata);
    if found != expected {
        return Err(CheckpointError::Checksum { path: path.to_owned(), expected, found });
    }
    metadata.retain(|key, _| !key.starts_with(RESERVED));
    Ok((metadata, sections))
}

/// Sorts the tensors of a file into its sections, or returns why they do not fit its list of
/// sections.
fn sections(
    info: &Metadata,
    index: BTreeMap<String, Index>,
    start: usize,
    buffer: Arc<Vec<u8>>,
) -> Result<BTreeMap<String, Section>, String> {
    let mut infos = info.tensors();
    let mut take = |name: &str| {
        let TensorInfo { dtype, shape, data_offsets: (from, to) } =
            infos.remove(name).ok_or_else(|| {
                format!("the list of sections names `{name}`, which the file does not contain")
            })?;
        let bytes = Blob::part(&buffer, start + from..start + to)
            .ok_or("a tensor extends beyond the end of the file")?;
        if burn_dtype(*dtype).is_none() {
            return Err(format!(
                "`{name}` has elements of type {dtype}, which a checkpoint cannot contain"
            ));
        }
        if *dtype == Dtype::BOOL && bytes.as_slice().iter().any(|byte| *byte > 1) {
            return Err(format!("`{name}` contains a boolean that is neither 0 nor 1"));
        }
        Ok((*dtype, shape.clone(), bytes))
    };
    let mut sections = BTreeMap::new();
    for (name, kind) in index {
        let section = match kind {
            Index::Bytes => Section::Bytes(take(&name)?.2),
            Index::Module { parameters, frozen, architecture } => {
                let mut tensors = Tensors::new();
                for (path, number) in parameters {
                    let (dtype, shape, bytes) = take(&format!("{name}.{path}"))?;
                    tensors.insert(path, StoredTensor { dtype, shape, number, bytes });
                }
                Section::Module(StoredModule { tensors, frozen, architecture })
            }
        };
        sections.insert(name, section);
    }
    match infos.keys().min() {
        None => Ok(sections),
        Some(name) => Err(format!("`{name}` belongs to no section")),
    }
}
