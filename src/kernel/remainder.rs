//! The last elements of a slice, too few for a vector.

use super::simd::{LANES, Lanes, Real};

/// Up to [`LANES`] elements, followed by zeros.
#[inline(always)]
pub fn load<T: Real>(numbers: &[T]) -> Lanes<T> {
    let mut lanes = [T::zero(); LANES];
    for (lane, &number) in lanes.iter_mut().zip(numbers) {
        *lane = number;
    }
    lanes
}

/// Stores as many of the lanes as the slice has room for.
#[inline(always)]
pub fn store<T: Real>(lanes: &Lanes<T>, numbers: &mut [T]) {
    for (number, &lane) in numbers.iter_mut().zip(lanes) {
        *number = lane;
    }
}

/// The sum, in [`LANES`] partial sums.
#[inline(always)]
pub fn lane_sum<T: Real>(numbers: &[T]) -> T {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let mut sums = load(rest);
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    sums.into_iter().sum()
}
