//! The gated residual sum of Flow++'s blocks.
//! ```text
//! y = x + h_1..F·σ(h_F+1..2F)      x, y [B, F, H, W], h [B, 2F, H, W]
//! ```
//! The graph keeps only `h`.

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

#[cfg(any(feature = "flex", feature = "_gpu"))]
use super::operands::exactly;
use super::operands::{Checked, Operands, operands};
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
pub trait GatedResidualOps: Backend {
    /// `x [B, F, H, W]`, `h [B, 2F, H, W]` to the shape
    /// of `x`.
    #[fusion(dtype = x, shape = x)]
    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`GatedResidualOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait GatedResidualGradient: Backend {
    /// Gradient of `h`; that of `x` is the gradient itself.
    #[fusion(dtype = h, shape = h)]
    fn gated_residual_backward(
        h: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// `y` from `x` and `h`.
///
/// # Shapes
/// `x [B, F, H, W]`, `h [B, 2F, H, W]` to the shape of `x`.
///
/// # Panics
/// If `h` does not have the shape of `x` with twice the channels, or has another type.
pub fn forward(x: Tensor<4>, h: Tensor<4>) -> Tensor<4> {
    check(operands!("gated_residual", x, h));
    if !SERVED.serves(&x) {
        return plain::forward(x, h);
    }
    Tensor::from_dispatch(<Dispatch as GatedResidualOps>::gated_residual(
        x.into_dispatch(),
        h.into_dispatch(),
    ))
}

/// Checks that the operands fit.
fn check(call: Operands<2>) -> Checked {
    let [batch, channels, height, width] = call.dims("x");
    call.expect("h", &[Some(batch), Some(2 * channels), Some(height), Some(width)]);
    call.checked()
}

/// Checks that the operands of the backward pass fit.
#[cfg(any(feature = "flex", feature = "_gpu"))]
fn check_backward(call: Operands<2>) -> Checked {
    let [batch, doubled, height, width] = call.dims("h");
    call.require("h", doubled.is_multiple_of(2), "of an even number of channels");
    call.expect("gradient", &exactly([batch, doubled / 2, height, width]));
    call.checked()
}
