//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use super::check;
use crate::kernel::operands::operands;
use crate::tensor::smooth::sigmoid;

/// [`forward`](super::forward) in plain tensor operations.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(x: Tensor<4>, h: Tensor<4>) -> Tensor<4> {
    check(operands!("gated_residual", x, h));
    let channels = x.dims()[1];
    let linear = h.clone().narrow(1, 0, channels);
    x + linear * sigmoid(h.narrow(1, channels, channels))
}
