//! How far a result may lie from the truth.
//!
//! Two measures, both absolute below 1 and relative above:
//! - [`normwise`], `max_i |a_i − b_i| / max(1, max_i |b_i|)`: of a tensor whose elements are sums
//!   over others (what comes out of convolutions, gradients of weights). An element that is small
//!   because large terms cancel carries the rounding of those terms, so the tensor's largest
//!   element is the scale.
//! - [`elementwise`], `max_i |a_i − b_i| / max(1, |b_i|)`: of what a law does to each number by
//!   itself. Nothing lends it a scale.
//!
//! The floor of 1 is there for log-determinants and losses near 0, which are differences of numbers
//! of that size. NaN anywhere is an infinite error.

use burn::tensor::Device;
use flowkit::testing::tolerance::roughness;

use super::Precision;

/// Largest error in float64, where only the order of operations differs.
pub const DOUBLE: f64 = 1e-10;

/// Largest error in float32 beside a float64 truth: some 40 roundings of 2^-23, or where those of
/// the independent implementation add up to more, [`PEER`] times as much as there.
pub const SINGLE: f64 = 5e-6;

/// Two computations of the same numbers round independently: a sum that costs one of them so much
/// may cost the other twice that. PyTorch's float32 exceeds [`SINGLE`] in three gradients of the
/// whole model (7e-6) and in its inverse of the mixture (1e-5).
pub const PEER: f64 = 2.0;

/// [`DOUBLE`], or [`SINGLE`] times what the device under test is coarser.
pub fn limit(precision: Precision) -> f64 {
    match precision {
        Precision::Double => DOUBLE,
        Precision::Single => SINGLE * roughness(&Device::default()),
    }
}

/// One number for how two lists differ.
pub type Measure = fn(&[f64], &[f64]) -> f64;

/// `max |a − b| / max(1, max |b|)`.
pub fn normwise(found: &[f64], truth: &[f64]) -> f64 {
    let scale = truth.iter().fold(1.0, |scale: f64, b| scale.max(b.abs()));
    largest(found, truth, |_| scale)
}

/// `max |a − b| / max(1, |b|)`, every element on its own scale.
pub fn elementwise(found: &[f64], truth: &[f64]) -> f64 {
    largest(found, truth, |b| b.abs().max(1.0))
}

/// Agreement to the bit: 0 or infinite.
pub fn exact(found: &[f64], truth: &[f64]) -> f64 {
    if found == truth { 0.0 } else { f64::INFINITY }
}

fn largest(found: &[f64], truth: &[f64], scale: impl Fn(f64) -> f64) -> f64 {
    assert_eq!(found.len(), truth.len(), "a comparison of lists requires equal lengths");
    let errors = found.iter().zip(truth).map(|(a, b)| (a - b).abs() / scale(*b));
    errors.fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { error.max(worst) })
}
