//! Safetensors files.
//! ```text
//! length     of the header, u64, little-endian
//! header     {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}     JSON
//! values     in C order, little-endian, without gaps
//! ```
//!
//! # Reference
//! <https://github.com/huggingface/safetensors>, "Format".

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Error as IoError, ErrorKind, Result as IoResult, Write};

use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::fault::Fault;
use super::number::{ByteOrder, Number};
use super::{Array, Values};

/// Length of the length field before the header, and the alignment after the header.
const WORD: usize = 8;

/// The name in the header that is not an array's.
const METADATA: &str = "__metadata__";

/// Whether a file begins as one of these does.
pub(super) fn recognizes(bytes: &[u8]) -> bool {
    bytes.get(WORD) == Some(&b'{')
}

/// The arrays of a file's bytes.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Array>, Fault> {
    // The crate checks that the arrays fill the rest of the file and share no bytes.
    let (length, info) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let (header, contents) = bytes[WORD..].split_at(length);
    serde_json::from_slice::<Names>(header).map_err(|error| error.to_string())?;
    let mut arrays = BTreeMap::new();
    for (name, TensorInfo { dtype, shape, data_offsets: (start, end) }) in info.tensors() {
        let values = number(*dtype)
            .and_then(|number| number.values(&contents[*start..*end], ByteOrder::Little))
            .map_err(|fault| fault.of(&name))?;
        arrays.insert(name, Array::new(shape.as_slice(), values));
    }
    Ok(arrays)
}

fn number(dtype: Dtype) -> Result<Number, Fault> {
    Ok(match dtype {
        Dtype::BOOL => Number::Bool,
        Dtype::I8 => Number::I8,
        Dtype::I16 => Number::I16,
        Dtype::I32 => Number::I32,
        Dtype::I64 => Number::I64,
        Dtype::U8 => Number::U8,
        Dtype::U16 => Number::U16,
        Dtype::U32 => Number::U32,
        Dtype::U64 => Number::U64,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::BF16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        other => {
            let text = format!("expected numbers of 8 to 64 bits, found values of type {other}");
            return Err(Fault::unsupported(text));
        }
    })
}

/// The names of a header. One that occurs twice is an error; the crate takes the later of two.
struct Names;

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Names {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header with one entry for each array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format!("there are two arrays `{name}`")));
            }
            names.insert(name);
        }
        Ok(self)
    }
}

/// Writes a file. Equal arrays give equal bytes.
pub(super) fn write(arrays: &BTreeMap<String, Array>, out: &mut dyn Write) -> IoResult<()> {
    if arrays.contains_key(METADATA) {
        let text = format!("a safetensors file cannot have an array of the name `{METADATA}`");
        return Err(IoError::new(ErrorKind::InvalidInput, text));
    }
    let dtype = |array: &Array| match array.values() {
        Values::F32(_) => Dtype::F32,
        Values::F64(_) => Dtype::F64,
        Values::I64(_) => Dtype::I64,
    };
    // Wide numbers first, as in the crate, so that each array is aligned to its numbers.
    let mut order: Vec<(&String, &Array)> = arrays.iter().collect();
    order.sort_by_key(|(_, array)| std::cmp::Reverse(dtype(array).bitsize()));
    let mut header = serde_json::Map::new();
    let mut start = 0;
    for (name, array) in &order {
        let dtype = dtype(array);
        let end = start + array.values().len() * dtype.bitsize() / 8;
        let info = TensorInfo { dtype, shape: array.shape().to_vec(), data_offsets: (start, end) };
        header.insert((*name).clone(), serde_json::to_value(info)?);
        start = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(WORD), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    order.iter().try_for_each(|(_, array)| array.values().write(out))
}
