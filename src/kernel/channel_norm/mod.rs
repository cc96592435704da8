//! Layer normalisation over the channels of every position.
//! ```text
//! y[b, :, p] = γ·(x − mean)/√(var + ε) + β      mean and biased variance over the channels
//! x, y [B, C, H, W]      γ, β [1, C, 1, 1]
//! ```
//! The graph keeps `x` and `γ`; the backward pass recomputes mean and variance.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
pub(super) mod cube;
#[cfg(feature = "flex")]
mod flex;
mod ops;
pub mod plain;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};

pub use ops::{ChannelNormGradient, ChannelNormOps};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// `y` from `x`.
///
/// # Shapes
/// `x [B, C, H, W]`, `gain` and `shift` `[1, C, 1, 1]` to the shape of `x`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(x: Tensor<4>, gain: Tensor<4>, shift: Tensor<4>, epsilon: f64) -> Tensor<4> {
    check(operands!("channel_norm", x, gain, shift));
    if !SERVED.serves(&x) {
        return plain::forward(x, gain, shift, epsilon);
    }
    let (x, gain, shift) = (x.into_dispatch(), gain.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ChannelNormOps>::channel_norm(x, gain, shift, epsilon))
}

/// Checks that the operands fit. The gradient of `y` is checked if there is one.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let shape @ [_, channels, _, _] = call.dims("x");
    call.expect("gain", &exactly([1, channels, 1, 1]));
    call.expect("shift", &exactly([1, channels, 1, 1]));
    call.expect("gradient", &exactly(shape));
    call.checked()
}
