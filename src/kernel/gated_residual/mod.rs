//! The gated residual sum of Flow++'s blocks.
//! ```text
//! y = x + h_1..F·σ(h_F+1..2F)      x, y [B, F, H, W], h [B, 2F, H, W]
//! ```
//! The gradient keeps `h` alone.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::{NetworkOps, serve_networks};
use crate::smooth::sigmoid;

/// `y` from `x` and `h`.
///
/// # Shapes
/// `x [B, F, H, W]`, `h [B, 2F, H, W]` to the shape of `x`.
///
/// # Panics
/// If `h` does not have twice the channels of `x`.
pub fn forward(x: Tensor<4>, h: Tensor<4>) -> Tensor<4> {
    let (channels, gates) = (x.dims()[1], h.dims()[1]);
    assert_eq!(gates, 2 * channels, "gated_residual: {channels} channels need {} of h, not {gates}", 2 * channels);
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x, h);
    }
    Tensor::from_dispatch(<Dispatch as NetworkOps>::gated_residual(x.into_dispatch(), h.into_dispatch()))
}

/// The operation in plain tensor operations: its definition.
pub fn reference(x: Tensor<4>, h: Tensor<4>) -> Tensor<4> {
    let channels = x.dims()[1];
    let linear = h.clone().narrow(1, 0, channels);
    x + linear * sigmoid(h.narrow(1, channels, channels))
}
