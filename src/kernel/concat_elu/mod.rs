//! The activation of Flow++'s networks.
//! ```text
//! y = elu([x, −x])      on the channel axis: [B, C, H, W] to [B, 2C, H, W]
//! elu(v) = v for v > 0, e^v − 1 below, with slope 1 at 0
//! ```
//! Salimans et al. 2017 (PixelCNN++ code); order as in Flow++. One exponential suffices for both
//! halves, and the graph keeps only `x`.

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
use burn::tensor::Shape;
use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "_gpu"))]
use super::operands::{Checked, Operands, exactly};
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
pub trait ConcatEluOps: Backend {
    /// `[B, C, H, W]` to `[B, 2C, H, W]`.
    #[fusion(dtype = x, shape = doubled(x))]
    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`ConcatEluOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait ConcatEluGradient: Backend {
    /// Gradient of `x`.
    #[fusion(dtype = x, shape = x)]
    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The shape with twice the channels.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn doubled(shape: &Shape) -> Shape {
    let [batch, channels, height, width] = shape.dims();
    [batch, 2 * channels, height, width].into()
}

/// `elu(cat(x, −x))` on the channel axis.
///
/// # Shapes
/// `[B, C, H, W]` to `[B, 2C, H, W]`.
pub fn forward(x: Tensor<4>) -> Tensor<4> {
    if !SERVED.serves(&x) {
        return plain::forward(x);
    }
    Tensor::from_dispatch(<Dispatch as ConcatEluOps>::concat_elu(x.into_dispatch()))
}

/// Checks that the operands fit. The gradient of `y` is checked if there is one.
#[cfg(any(feature = "flex", feature = "_gpu"))]
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let [batch, channels, height, width] = call.dims("x");
    call.expect("gradient", &exactly([batch, 2 * channels, height, width]));
    call.checked()
}
