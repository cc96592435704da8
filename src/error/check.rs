//! Shape checks that layers share.

use super::ShapeError;
use crate::tensor::capacity::MOST_BYTES;

/// Panics if a shape check failed. Every public forward and inverse calls it first: a wrong shape
/// is a programming error.
///
/// # Panics
/// With the text of the error.
pub fn check_shape<T>(shape: Result<T, ShapeError>) {
    if let Err(error) = shape {
        panic!("{error}");
    }
}

/// Returns `shape` if its examples have the shape `event`.
pub(crate) fn check_event<const D: usize>(
    layer: &'static str,
    event: &[usize],
    shape: [usize; D],
) -> Result<[usize; D], ShapeError> {
    let expected = event.len() + 1;
    if expected != D {
        return Err(ShapeError::Rank { layer, expected, shape: shape.to_vec() });
    }
    match (1..D).find(|&axis| shape[axis] != event[axis - 1]) {
        None => Ok(shape),
        Some(axis) => {
            Err(ShapeError::Axis { layer, axis, expected: event[axis - 1], shape: shape.to_vec() })
        }
    }
}

/// The number of elements of a tensor of this shape, if they take at most 1 TiB in float64.
///
/// # Errors
/// [`ShapeError::TooLarge`].
pub(crate) fn check_shape_size(layer: &'static str, shape: &[usize]) -> Result<usize, ShapeError> {
    let product = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    let most = MOST_BYTES / size_of::<f64>() as u64;
    let fits = product.filter(|&product| product as u64 <= most);
    fits.ok_or_else(|| ShapeError::TooLarge { layer, most, shape: shape.to_vec() })
}
