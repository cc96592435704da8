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
pub trait ChannelNormOps: Backend {
    /// `x [B, C, H, W]`, gain and shift of `C` elements to
    /// the shape of `x`.
    #[fusion(dtype = x, shape = x)]
    fn channel_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`ChannelNormOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait ChannelNormGradient: Backend {
    /// Gradients of `x`, gain and shift.
    #[fusion(meta = |x, gain, _gradient, _epsilon| (x.clone(), gain.clone(), gain.clone()))]
    fn channel_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

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
