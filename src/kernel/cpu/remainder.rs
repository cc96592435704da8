//! The last elements of a slice, too few for a vector.

use super::simd::{LANES, Lanes, Real};

/// Up to [`LANES`] elements, followed by zeros.
#[inline(always)]
pub fn load<T: Real>(elements: &[T]) -> Lanes<T> {
    let mut lanes = [T::zero(); LANES];
    for (lane, &number) in lanes.iter_mut().zip(elements) {
        *lane = number;
    }
    lanes
}

/// Stores as many of the lanes as the slice has room for.
#[inline(always)]
pub fn store<T: Real>(lanes: &Lanes<T>, elements: &mut [T]) {
    for (number, &lane) in elements.iter_mut().zip(lanes) {
        *number = lane;
    }
}

/// The sum, in [`LANES`] partial sums.
#[inline(always)]
pub fn lane_sum<T: Real>(elements: &[T]) -> T {
    let (chunks, rest) = elements.as_chunks::<LANES>();
    let mut sums = load(rest);
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    sums.into_iter().sum()
}
