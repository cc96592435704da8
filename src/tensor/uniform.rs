//! Uniform numbers that are never 0 or 1.
//! ```text
//! u = (k + ½)/n        k from 0..n, n = 2^24 in float32, 2^53 in float64
//! ```
//! A device draws `k/n`. Both `u` and `1 − u` are computed from it without cancellation, so their
//! logarithms are finite and the tails are symmetric.

use burn::tensor::{DType, Device, Distribution, Tensor};

use super::dtype::wide;

/// Draws `k/n`, in float32 for a 16-bit type.
pub struct Cells<const D: usize> {
    start: Tensor<D>,
    half: f64,
}

impl<const D: usize> Cells<D> {
    /// One draw for each element.
    pub fn draw(shape: [usize; D], device: &Device, dtype: DType) -> Self {
        let drawn = wide(dtype);
        let bits = if drawn == DType::F64 { 53 } else { 24 };
        let start = Tensor::random(shape, Distribution::Uniform(0.0, 1.0), (device, drawn));
        Self { start, half: 0.5f64.powi(bits + 1) }
    }

    /// `ln u`.
    pub fn log_middle(&self) -> Tensor<D> {
        self.start.clone().add_scalar(self.half).log()
    }

    /// `ln(1 − u)`. `1 − k/n` is exact, and at least `1/n`.
    pub fn log_rest(&self) -> Tensor<D> {
        self.start.clone().neg().add_scalar(1.0).sub_scalar(self.half).log()
    }
}

/// Uniform numbers in (0, 1): the middles of `2^23` cells in float32, `2^52` in float64, each of
/// which is a number of its type.
pub fn open_interval<const D: usize>(
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    let bits = if dtype == DType::F64 { 52 } else { 23 };
    let cells = 2f64.powi(bits);
    let start = Tensor::random(shape, Distribution::Uniform(0.0, 1.0), (device, dtype));
    start.mul_scalar(cells).floor().add_scalar(0.5).mul_scalar(1.0 / cells)
}
