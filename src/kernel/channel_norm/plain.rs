//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use super::check;
use crate::kernel::operands::operands;

/// [`forward`](super::forward) in plain tensor operations.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(x: Tensor<4>, gain: Tensor<4>, shift: Tensor<4>, epsilon: f64) -> Tensor<4> {
    check(operands!("channel_norm", x, gain, shift));
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    centred * variance.add_scalar(epsilon).sqrt().recip() * gain + shift
}
