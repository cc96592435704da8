//! The gated residual sum of Flow++'s blocks.
//! ```text
//! y = x + h_1..F·σ(h_F+1..2F)      x, y [B, F, H, W], h [B, 2F, H, W]
//! ```
//! The graph keeps only `h`.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::operands::exactly;
use super::operands::{Checked, Operands, operands};
use super::{NetworkOps, serve_networks};
use crate::tensor::smooth::sigmoid;

/// `y` from `x` and `h`.
///
/// # Shapes
/// `x [B, F, H, W]`, `h [B, 2F, H, W]` to the shape of `x`.
///
/// # Panics
/// If `h` does not have the shape of `x` with twice the channels, or has another type.
pub fn forward(x: Tensor<4>, h: Tensor<4>) -> Tensor<4> {
    check(operands!("gated_residual", x, h));
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x, h);
    }
    Tensor::from_dispatch(<Dispatch as NetworkOps>::gated_residual(
        x.into_dispatch(),
        h.into_dispatch(),
    ))
}

/// Checks that the operands fit.
fn check(call: Operands<2>) -> Checked {
    let [batch, channels, height, width] = call.dims("x");
    call.expect("h", &[Some(batch), Some(2 * channels), Some(height), Some(width)]);
    call.checked()
}

/// Checks that the operands of the backward pass fit.
#[cfg(feature = "flex")]
fn check_backward(call: Operands<2>) -> Checked {
    let [batch, doubled, height, width] = call.dims("h");
    call.require("h", doubled.is_multiple_of(2), "of an even number of channels");
    call.expect("gradient", &exactly([batch, doubled / 2, height, width]));
    call.checked()
}

/// The operation in plain tensor operations: its definition.
///
/// # Panics
/// Those of [`forward`].
pub fn reference(x: Tensor<4>, h: Tensor<4>) -> Tensor<4> {
    check(operands!("gated_residual", x, h));
    let channels = x.dims()[1];
    let linear = h.clone().narrow(1, 0, channels);
    x + linear * sigmoid(h.narrow(1, channels, channels))
}
