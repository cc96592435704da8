//! One array of a file: its shape and its values.

use std::io::{self, Write};

/// An array of numbers in C order: the last axis varies fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Values,
}

/// The values of an array. Numbers of other types are widened to one of these, which changes none
/// of them: half precision to `F32`, integers and booleans to `I64`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Numbers of single precision.
    F32(Vec<f32>),
    /// Numbers of double precision.
    F64(Vec<f64>),
    /// Integers.
    I64(Vec<i64>),
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes them, little-endian.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::F32(values) => write(values, f32::to_le_bytes, out),
            Self::F64(values) => write(values, f64::to_le_bytes, out),
            Self::I64(values) => write(values, i64::to_le_bytes, out),
        }
    }

    /// The name of their type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::F32(_) => "float32",
            Self::F64(_) => "float64",
            Self::I64(_) => "integers",
        }
    }
}

impl Array {
    /// The array of a shape.
    ///
    /// # Panics
    /// If the shape is not that of so many values.
    pub fn new(shape: impl Into<Vec<usize>>, values: Values) -> Self {
        let shape = shape.into();
        let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
        assert_eq!(count, Some(values.len()), "Array: {} values of shape {shape:?}", values.len());
        Self { shape, values }
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values.
    pub fn values(&self) -> &Values {
        &self.values
    }
}

/// Writes values in blocks, since each call of a writer that is not known has a cost.
fn write<T: Copy, const N: usize>(
    values: &[T],
    bytes: fn(T) -> [u8; N],
    out: &mut dyn Write,
) -> io::Result<()> {
    const BLOCK: usize = 1024;
    values.chunks(BLOCK).try_for_each(|block| {
        let block: Vec<u8> = block.iter().flat_map(|&value| bytes(value)).collect();
        out.write_all(&block)
    })
}
