//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use crate::kernel::operands::operands;

/// [`update`](super::update) in plain tensor operations.
///
/// # Panics
/// If shapes or types differ.
pub fn update<const D: usize>(average: Tensor<D>, value: Tensor<D>, rate: f64) -> Tensor<D> {
    operands!("moving_average", average, value).alike();
    let step = average.clone().sub(value).mul_scalar(rate);
    average.sub(step)
}
