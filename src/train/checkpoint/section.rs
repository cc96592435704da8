//! Contents of a checkpoint in memory: modules with their tensors, and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{BoolStore, DType, TensorData};
use safetensors::Dtype;

use super::architecture::Architecture;

/// Parameters by path, in the order of their names.
pub(super) type Tensors = BTreeMap<String, StoredTensor>;

/// One named part of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Section {
    Module(StoredModule),
    Bytes(Blob),
}

/// A module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredModule {
    pub(super) tensors: Tensors,
    /// Paths of the float parameters that are not trained; `None` for a module outside any graph,
    /// which does not record them.
    pub(super) frozen: Option<BTreeSet<String>>,
    /// `None` in a file from another program.
    pub(super) architecture: Option<Architecture>,
}

impl StoredModule {
    /// Number of elements of the float parameters. Each shape belongs to bytes in the file, so no
    /// product overflows.
    pub(super) fn num_params(&self) -> usize {
        let float =
            |tensor: &&StoredTensor| burn_dtype(tensor.dtype).is_some_and(|dtype| dtype.is_float());
        self.tensors
            .values()
            .filter(float)
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    }
}

impl Section {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Section::Module(_) => "module",
            Section::Bytes(_) => "bytes",
        }
    }
}

/// One parameter. The length of `bytes` is the product of `shape` and the width of `dtype`:
/// [`super::collect`] gets it from a tensor, and the safetensors reader rejects a file where it
/// does not hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredTensor {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Number that replaces its id.
    pub(super) number: u64,
    pub(super) bytes: Blob,
}

impl StoredTensor {
    /// A copy of the data, for a new tensor.
    pub(super) fn data(&self) -> TensorData {
        let bytes = self.bytes.as_slice();
        match burn_dtype(self.dtype) {
            Some(dtype) if self.dtype != Dtype::BOOL => {
                TensorData::from_bytes_vec(bytes.to_vec(), self.shape.clone(), dtype)
            }
            _ => TensorData::new(
                bytes.iter().map(|byte| *byte != 0).collect::<Vec<bool>>(),
                self.shape.clone(),
            ),
        }
    }
}

impl StoredTensor {
    /// Changes the type of floats; other elements stay as they are. False, and nothing is changed,
    /// if a finite element is beyond the range of the type.
    pub(super) fn convert_floats(&mut self, dtype: DType) -> bool {
        let (Some(own), Some(stored)) = (burn_dtype(self.dtype), stored_dtype(dtype)) else {
            return false;
        };
        if !own.is_float() || own == dtype {
            return true;
        }
        let data = self.data();
        let converted = data.clone().convert_dtype(dtype);
        let mut pairs = data.iter::<f64>().zip(converted.iter::<f64>());
        if pairs.any(|(old, new)| old.is_finite() && !new.is_finite()) {
            return false;
        }
        self.bytes = Blob::new(converted.as_bytes().to_vec());
        self.dtype = stored;
        true
    }
}

/// Bytes inside a shared buffer: a loaded file is in memory once, however many tensors it has.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    buffer: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Blob {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { buffer: Arc::new(bytes), range }
    }

    /// `None` if the range exceeds the buffer.
    pub(super) fn part(buffer: &Arc<Vec<u8>>, range: Range<usize>) -> Option<Self> {
        buffer.get(range.clone())?;
        Some(Self { buffer: buffer.clone(), range })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

/// The safetensors name of an element type. Booleans are stored as one byte each, however the
/// device stores them.
pub(super) fn stored_dtype(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool(_) => Dtype::BOOL,
        DType::Flex32 | DType::QFloat(_) => return None,
    })
}

/// The burn name of a stored element type; `None` for the sub-byte and 8-bit floats, which burn
/// lacks.
pub(super) fn burn_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}
