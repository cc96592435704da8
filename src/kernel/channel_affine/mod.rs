//! A shift and a scale for each channel.
//! ```text
//! z[n, c, p] = (x[n, c, p] + b[c])·a[c]
//! ```
//! The shift comes first, so no precision is lost where it cancels `x`. On the CPU one pass over
//! `x` and the gradient of `z` computes the gradients of all three operands. A GPU takes two
//! launches: one for shift and scale, one for `x`.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod node;
pub mod plain;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
    Autodiff,
)]
pub trait ChannelAffineOps: Backend {
    /// `x [N, C, P]`, `shift [C]`, `scale [C]` to
    /// `z [N, C, P]`.
    #[fusion(dtype = x, shape = x)]
    fn channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`ChannelAffineOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait ChannelAffineGradient: Backend {
    /// Gradients of `x`, `shift` and `scale`.
    #[fusion(meta = |x, shift, scale, _gradient| (x.clone(), shift.clone(), scale.clone()))]
    fn channel_affine_backward(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `shift` and `scale` alone, for an `x` that is data.
    #[fusion(meta = |_x, shift, scale, _gradient| (shift.clone(), scale.clone()))]
    fn channel_affine_backward_of_parameters(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// `z` from `x`.
///
/// # Shapes
/// `x [N, C, P]`, `shift [C]`, `scale [C]` to the shape of `x`.
///
/// # Panics
/// If the number of shifts or scales is not that of the channels, or if types differ.
pub fn forward(x: Tensor<3>, shift: Tensor<1>, scale: Tensor<1>) -> Tensor<3> {
    check(operands!("channel_affine", x, shift, scale));
    // With one position per channel, the planes are too small for this kernel.
    let planes = x.dims()[2] > 1;
    if !planes || !SERVED.serves(&x) {
        return plain::forward(x, shift, scale);
    }
    let (x, shift, scale) = (x.into_dispatch(), shift.into_dispatch(), scale.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ChannelAffineOps>::channel_affine(x, shift, scale))
}

/// `z` without a shift. On a GPU this is a plain product, which burn joins to its neighbours, such
/// as the exponential that makes a scale.
///
/// # Shapes
/// `x [N, C, P]`, `scale [C]` to the shape of `x`.
///
/// # Panics
/// If the number of scales is not that of the channels, or if types differ.
pub fn scaled(x: Tensor<3>, scale: Tensor<1>) -> Tensor<3> {
    check(operands!("channel_affine", x, scale));
    if SERVED.serves_on_gpu(&x) {
        let channels = scale.dims()[0];
        return x * scale.reshape([1, channels, 1]);
    }
    forward(x, scale.zeros_like(), scale)
}

/// Checks that the operands fit. The gradient of `z` is checked if there is one.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let shape @ [_, channels, _] = call.dims("x");
    call.expect("shift", &[Some(channels)]);
    call.expect("scale", &[Some(channels)]);
    call.expect("gradient", &exactly(shape));
    call.checked()
}
