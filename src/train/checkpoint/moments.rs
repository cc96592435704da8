//! The state of an optimizer as bytes: burn's record with numbers in place of parameter ids.

use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, TensorData};
use burn_pack::{Reader, Tensor, Writer};

/// A record with its ids renamed by `name`. `Err` holds the reason: an id has no new name, or the
/// bytes are not a record. Equal contents give equal bytes.
pub(super) fn rename(bytes: &[u8], name: impl Fn(u64) -> Option<u64>) -> Result<Vec<u8>, String> {
    let reader = reader(bytes)?;
    let renamed = |key: &str| -> Result<String, String> {
        let (id, rest) = split(key);
        let id = id.parse().ok().and_then(&name).ok_or_else(|| foreign(key))?;
        Ok(if rest.is_empty() { id.to_string() } else { format!("{id}.{rest}") })
    };
    let (scalars, paths) = (reader.scalars().clone(), reader.metadata().clone());
    let mut tensors = Vec::new();
    for tensor in reader.into_tensors().map_err(text)? {
        let (key, dtype, shape, id, bytes) = tensor.into_parts().map_err(text)?;
        let id = id.map(|id| name(id).ok_or_else(|| foreign(&key)));
        tensors.push(Tensor::new(renamed(&key)?, dtype, shape, id.transpose()?, bytes));
    }
    tensors.sort_by(|left, right| left.name.cmp(&right.name));
    let mut writer = Writer::new(tensors);
    for (key, value) in scalars {
        writer = writer.with_scalar(&renamed(&key)?, value);
    }
    for (key, path) in paths {
        writer = writer.with_metadata(&renamed(&key)?, &path);
    }
    Ok(writer.into_bytes().map_err(text)?.to_vec())
}

/// Id and largest magnitude of each tensor in the state of an optimizer; NaN for a tensor that
/// contains NaN or an infinity. Copies the whole state to the host.
pub(in super::super) fn magnitudes(optimizer: &ModuleOptimizer) -> Result<Vec<(u64, f64)>, String> {
    let bytes = optimizer.into_bytes().map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for tensor in reader(&bytes)?.into_tensors().map_err(text)? {
        let (_, dtype, shape, id, bytes) = tensor.into_parts().map_err(text)?;
        let largest = TensorData::from_bytes(bytes, shape, dtype).iter::<f64>().fold(
            0.0,
            |largest: f64, value| {
                // A comparison ignores NaN.
                if largest.is_nan() || !value.is_finite() {
                    f64::NAN
                } else {
                    largest.max(value.abs())
                }
            },
        );
        found.push((id.unwrap_or(u64::MAX), largest));
    }
    Ok(found)
}

pub(super) fn reader(bytes: &[u8]) -> Result<Reader, String> {
    Reader::from_bytes(Bytes::from_bytes_vec(bytes.to_vec())).map_err(text)
}

pub(super) fn text(error: burn_pack::Error) -> String {
    error.to_string()
}

fn foreign(key: &str) -> String {
    format!("`{key}` belongs to no parameter of the module")
}

/// The id in a key, and the rest of the key.
fn split(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or((key, ""))
}
