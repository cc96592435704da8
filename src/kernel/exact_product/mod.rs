//! Products of matrices in the full precision of their type.
//! ```text
//! y[b, g] = A[g]·x[b, g]        A [G, m, k]      x [B, G, k, P]      y [B, G, m, P]
//! ```
//! A map that has to invert must not lose digits on the way: `W⁻¹(W x)` is `x` only as far as both
//! products are exact. burn's own product on CUDA rounds the operands of float32 to TF32, with 11
//! bits of precision instead of 24, when autotune finds the tensor cores faster
//! (`cubek-matmul` 0.3.1, `multi_level/definition/blueprint.rs`, lines 92 to 103: it replaces the
//! types of the stages and registers). So layers that mix channels, and the matrices that they are
//! made of, multiply with this operation. On GPUs its kernels add float32 products in float32. The
//! CPU needs none: burn's product there is exact in this sense.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `A` | matrices, one for each group of channels | `[G, m, k]` |
//! | `x` | columns | `[B, G, k, P]` |
//! | `y` | products | `[B, G, m, P]` |
//!
//! # Backward
//! With the gradient `γ` of `y`:
//! ```text
//! ∂/∂x[b, g]  A[g]ᵀ·γ[b, g]        ∂/∂A[g]  Σ_b γ[b, g]·x[b, g]ᵀ
//! ```
//! The graph keeps `A` and `x`.
//!
//! # Cost
//! `O(B·G·m·k·P)`, for each of the products.

#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "_gpu")]
mod node;
pub mod plain;

#[cfg(feature = "_gpu")]
use burn::backend::Dispatch;
#[cfg(feature = "_gpu")]
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "_gpu")]
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "_gpu")]
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS_AND_HALVES, NONE, Served};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: NONE, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait ExactProductOps: Backend {
    /// `matrices [G, m, k]` and `columns [B, G, k, P]` to `[B, G, m, P]`.
    #[fusion(dtype = columns, shape = product(matrices, columns))]
    fn exact_product(matrices: FloatTensor<Self>, columns: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`ExactProductOps`].
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion)]
pub trait ExactProductGradient: Backend {
    /// Gradient of `columns`.
    #[fusion(dtype = columns, shape = columns)]
    fn exact_product_backward_of_columns(
        matrices: FloatTensor<Self>,
        columns: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradient of `matrices`.
    #[fusion(dtype = matrices, shape = matrices)]
    fn exact_product_backward_of_matrices(
        matrices: FloatTensor<Self>,
        columns: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The shape of the products.
#[cfg(feature = "_gpu")]
fn product(matrices: &Shape, columns: &Shape) -> Shape {
    [columns[0], columns[1], matrices[1], columns[3]].into()
}

/// `y` from `A` and `x`.
///
/// # Shapes
/// `matrices [G, m, k]`, `columns [B, G, k, P]` to `[B, G, m, P]`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(matrices: Tensor<3>, columns: Tensor<4>) -> Tensor<4> {
    check(operands!("exact_product", matrices, columns));
    #[cfg(feature = "_gpu")]
    if SERVED.serves(&columns) {
        let (matrices, columns) = (matrices.into_dispatch(), columns.into_dispatch());
        let product = <Dispatch as ExactProductOps>::exact_product(matrices, columns);
        return Tensor::from_dispatch(product);
    }
    plain::forward(matrices, columns)
}

/// The product of two matrices: `[m, k]` and `[k, n]` to `[m, n]`.
///
/// # Panics
/// Those of [`forward`].
pub fn of_matrices(left: Tensor<2>, right: Tensor<2>) -> Tensor<2> {
    if !SERVED.serves(&right) {
        return plain::of_matrices(left, right);
    }
    forward(left.unsqueeze(), right.unsqueeze()).squeeze_dims(&[0, 1])
}

/// Checks that the operands fit. The gradient of `y` is checked if there is one.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let ([groups, m, k], [batch, _, _, positions]) = (call.dims("matrices"), call.dims("columns"));
    call.expect("columns", &exactly([batch, groups, k, positions]));
    call.expect("gradient", &exactly([batch, groups, m, positions]));
    call.checked()
}
