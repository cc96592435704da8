//! Arrays whose elements are not in C order.

use super::fault::Fault;

/// Number of elements of a shape.
pub(super) fn count(shape: &[usize]) -> Result<usize, Fault> {
    let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
    count.ok_or_else(|| format!("the number of elements of shape {shape:?} overflows").into())
}

/// The strides of a shape in C order, where the last axis varies fastest. The number of elements
/// must not overflow.
pub(super) fn c_strides(shape: &[usize]) -> Vec<usize> {
    strides(shape.iter().rev()).into_iter().rev().collect()
}

/// Those in Fortran order, where the first axis varies fastest.
pub(super) fn fortran_strides(shape: &[usize]) -> Vec<usize> {
    strides(shape.iter())
}

fn strides<'a>(sides: impl Iterator<Item = &'a usize>) -> Vec<usize> {
    // A shape without elements may have other sides whose product overflows.
    let step = |stride: &mut usize, side: &usize| {
        let own = *stride;
        *stride = stride.saturating_mul(*side);
        Some(own)
    };
    sides.scan(1, step).collect()
}

/// The place of the last element, if no number overflows. The shape must have elements.
pub(super) fn last_place(start: usize, shape: &[usize], strides: &[usize]) -> Option<usize> {
    shape.iter().zip(strides).try_fold(start, |place, (&side, &stride)| {
        place.checked_add((side - 1).checked_mul(stride)?)
    })
}

/// The bytes of the elements in C order. [`last_place`] must lie within `bytes`.
pub(super) fn in_c_order(
    bytes: &[u8],
    width: usize,
    start: usize,
    shape: &[usize],
    strides: &[usize],
) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut ordered = Vec::with_capacity(count * width);
    let mut index = vec![0; shape.len()];
    let mut place = start;
    for _ in 0..count {
        ordered.extend_from_slice(&bytes[place * width..(place + 1) * width]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                place += strides[axis];
                break;
            }
            place -= (shape[axis] - 1) * strides[axis];
            index[axis] = 0;
        }
    }
    ordered
}
