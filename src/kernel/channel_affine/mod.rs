//! A shift and a scale for each channel.
//! ```text
//! z[n, c, p] = (x[n, c, p] + b[c])·a[c]
//! ```
//! The shift comes first, so that nothing is lost where it cancels `x`. Gradients of all three come from `x` and that of `z` in one pass.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::{NetworkOps, serve_networks};

/// `z` from `x`.
///
/// # Shapes
/// `x [N, C, P]`, `shift [C]`, `scale [C]` to the shape of `x`.
///
/// # Panics
/// If there are not as many shifts and scales as channels.
pub fn forward(x: Tensor<3>, shift: Tensor<1>, scale: Tensor<1>) -> Tensor<3> {
    let ([_, channels, _], found) = (x.dims(), [shift.dims()[0], scale.dims()[0]]);
    assert_eq!(found, [channels; 2], "channel_affine: {channels} channels have a shift and a scale each");
    // A row of numbers for each example is no work for planes.
    let planes = x.dims()[2] > 1;
    let one_type = x.dtype() == shift.dtype() && x.dtype() == scale.dtype();
    if !planes || !one_type || !serve_networks(&x.device(), x.dtype()) {
        return reference(x, shift, scale);
    }
    let (x, shift, scale) = (x.into_dispatch(), shift.into_dispatch(), scale.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetworkOps>::channel_affine(x, shift, scale))
}

/// The operation in plain tensor operations: its definition.
pub fn reference(x: Tensor<3>, shift: Tensor<1>, scale: Tensor<1>) -> Tensor<3> {
    let channels = shift.dims()[0];
    (x + shift.reshape([1, channels, 1])) * scale.reshape([1, channels, 1])
}
