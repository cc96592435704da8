//! A shift and a scale for each channel.
//! ```text
//! z[n, c, p] = (x[n, c, p] + b[c])·a[c]
//! ```
//! The shift comes first, so that nothing is lost where it cancels `x`. Gradients of all three come
//! from `x` and that of `z` in one pass.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::{NetworkOps, serve_networks};

/// `z` from `x`.
///
/// # Shapes
/// `x [N, C, P]`, `shift [C]`, `scale [C]` to the shape of `x`.
///
/// # Panics
/// If there are not as many shifts and scales as channels, or if types differ.
pub fn forward(x: Tensor<3>, shift: Tensor<1>, scale: Tensor<1>) -> Tensor<3> {
    check(operands!("channel_affine", x, shift, scale));
    // A row of numbers for each example is no work for planes.
    let planes = x.dims()[2] > 1;
    if !planes || !serve_networks(&x.device(), x.dtype()) {
        return reference(x, shift, scale);
    }
    let (x, shift, scale) = (x.into_dispatch(), shift.into_dispatch(), scale.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetworkOps>::channel_affine(x, shift, scale))
}

/// Checks that the operands fit, the gradient of `z` among them where there is one.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let shape @ [_, channels, _] = call.dims("x");
    call.expect("shift", &[Some(channels)]);
    call.expect("scale", &[Some(channels)]);
    call.expect("gradient", &exactly(shape));
    call.checked()
}

/// The operation in plain tensor operations: its definition.
///
/// # Panics
/// As [`forward`].
pub fn reference(x: Tensor<3>, shift: Tensor<1>, scale: Tensor<1>) -> Tensor<3> {
    check(operands!("channel_affine", x, shift, scale));
    let channels = shift.dims()[0];
    (x + shift.reshape([1, channels, 1])) * scale.reshape([1, channels, 1])
}
