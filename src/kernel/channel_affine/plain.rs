//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use super::check;
use crate::kernel::operands::operands;

/// [`forward`](super::forward) in plain tensor operations.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(x: Tensor<3>, shift: Tensor<1>, scale: Tensor<1>) -> Tensor<3> {
    check(operands!("channel_affine", x, shift, scale));
    let channels = shift.dims()[0];
    (x + shift.reshape([1, channels, 1])) * scale.reshape([1, channels, 1])
}
