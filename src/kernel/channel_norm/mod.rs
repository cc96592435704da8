//! Layer normalisation over the channels of every position.
//! ```text
//! y[b, :, p] = γ·(x − mean)/√(var + ε) + β      mean and biased variance over the channels
//! x, y [B, C, H, W]      γ, β [1, C, 1, 1]
//! ```
//! The graph keeps `x` and `γ`; the backward pass recomputes mean and variance.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::{NetworkOps, serve_networks};

/// `y` from `x`.
///
/// # Shapes
/// `x [B, C, H, W]`, `gain` and `shift` `[1, C, 1, 1]` to the shape of `x`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(x: Tensor<4>, gain: Tensor<4>, shift: Tensor<4>, epsilon: f64) -> Tensor<4> {
    check(operands!("channel_norm", x, gain, shift));
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x, gain, shift, epsilon);
    }
    let (x, gain, shift) = (x.into_dispatch(), gain.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetworkOps>::channel_norm(x, gain, shift, epsilon))
}

/// Checks that the operands fit. The gradient of `y` is checked if there is one.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let shape @ [_, channels, _, _] = call.dims("x");
    call.expect("gain", &exactly([1, channels, 1, 1]));
    call.expect("shift", &exactly([1, channels, 1, 1]));
    call.expect("gradient", &exactly(shape));
    call.checked()
}

/// The operation in plain tensor operations: its definition.
///
/// # Panics
/// Those of [`forward`].
pub fn reference(x: Tensor<4>, gain: Tensor<4>, shift: Tensor<4>, epsilon: f64) -> Tensor<4> {
    check(operands!("channel_norm", x, gain, shift));
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    centred * variance.add_scalar(epsilon).sqrt().recip() * gain + shift
}
