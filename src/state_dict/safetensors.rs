//! Safetensors files.

use std::collections::BTreeMap;

use burn::tensor::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::{Array, Values};

/// The arrays of a file's bytes. An error says what was expected and what was found.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.iter() {
        let values = values(view.dtype(), view.data())
            .map_err(|reason| format!("tensor `{name}`: {reason}"))?;
        arrays.insert(name.to_owned(), Array::new(view.shape(), values));
    }
    Ok(arrays)
}

fn values(dtype: Dtype, bytes: &[u8]) -> Result<Values, String> {
    macro_rules! numbers {
        ($kind:ty, $convert:expr) => {
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| $convert(<$kind>::from_le_bytes(bytes)))
                .collect()
        };
    }
    Ok(match dtype {
        Dtype::F16 => Values::F32(numbers!(u16, |bits| f16::from_bits(bits).to_f32())),
        Dtype::BF16 => Values::F32(numbers!(u16, |bits| bf16::from_bits(bits).to_f32())),
        Dtype::F32 => Values::F32(numbers!(f32, |value| value)),
        Dtype::F64 => Values::F64(numbers!(f64, |value| value)),
        Dtype::I8 => Values::I64(numbers!(i8, i64::from)),
        Dtype::I16 => Values::I64(numbers!(i16, i64::from)),
        Dtype::I32 => Values::I64(numbers!(i32, i64::from)),
        Dtype::I64 => Values::I64(numbers!(i64, |value| value)),
        Dtype::U8 | Dtype::BOOL => Values::I64(numbers!(u8, i64::from)),
        Dtype::U16 => Values::I64(numbers!(u16, i64::from)),
        Dtype::U32 => Values::I64(numbers!(u32, i64::from)),
        other => return Err(format!("expected numbers of 8 to 64 bits, found {other:?}")),
    })
}
