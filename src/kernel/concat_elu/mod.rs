//! The activation of Flow++'s networks.
//! ```text
//! y = elu([x, −x])      on the channel axis: [B, C, H, W] to [B, 2C, H, W]      elu(v) = v for v > 0, e^v − 1 below, with slope 1 at 0
//! ```
//! Salimans et al. 2017 (PixelCNN++ code); order as in Flow++. One exponential serves both halves, and the gradient keeps `x` alone.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::{NetworkOps, serve_networks};
use crate::softplus::positive_part;

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

/// The operation in plain tensor operations: its definition.
///
/// `elu(x) = x₊ + exp(x₋) − 1` with `x₊ = (x + |x|)/2` and `x₋ = (x − |x|)/2`, whose derivative is 1 at 0 too. Nothing overflows: `exp` only
/// sees `x₋ ≤ 0`.
pub fn reference(x: Tensor<4>) -> Tensor<4> {
    let positive = positive_part(x.clone());
    let negative = positive.clone() - x;
    // elu(x) = x₊ + (e^{−n} − 1) with n = (−x)₊, and elu(−x) = n + (e^{−x₊} − 1).
    let first = positive.clone() + negative.clone().neg().exp();
    let second = negative + positive.neg().exp();
    Tensor::cat(vec![first, second], 1).sub_scalar(1.0)
}
