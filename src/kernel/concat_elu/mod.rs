//! The activation of Flow++'s networks.
//! ```text
//! y = elu([x, −x])      on the channel axis: [B, C, H, W] to [B, 2C, H, W]
//! elu(v) = v for v > 0, e^v − 1 below, with slope 1 at 0
//! ```
//! Salimans et al. 2017 (PixelCNN++ code); order as in Flow++. One exponential suffices for both
//! halves, and the graph keeps only `x`.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::operands::{Checked, Operands, exactly};
use super::{NetworkOps, serve_networks};
use crate::tensor::smooth::elu;

/// `elu(cat(x, −x))` on the channel axis.
///
/// # Shapes
/// `[B, C, H, W]` to `[B, 2C, H, W]`.
pub fn forward(x: Tensor<4>) -> Tensor<4> {
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x);
    }
    Tensor::from_dispatch(<Dispatch as NetworkOps>::concat_elu(x.into_dispatch()))
}

/// Checks that the operands fit. The gradient of `y` is checked if there is one.
#[cfg(feature = "flex")]
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let [batch, channels, height, width] = call.dims("x");
    call.expect("gradient", &exactly([batch, 2 * channels, height, width]));
    call.checked()
}

/// The operation in plain tensor operations: its definition.
pub fn reference(x: Tensor<4>) -> Tensor<4> {
    Tensor::cat(vec![elu(x.clone()), elu(x.neg())], 1)
}
