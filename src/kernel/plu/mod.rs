//! The matrix of an invertible 1x1 convolution from its PLU factors, and the inverses of its
//! triangles.
//! ```text
//! W = P·L·R      L = I + tril(A, −1)      R = triu(B, 1) + diag(d)
//! row i of W is row π_i of L·R
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `A`, `B` | the matrices that hold the strict triangles; their other entries are ignored | `[n, n]` |
//! | `d` | the diagonal of `R` | `[n]` |
//! | `π` | the row of `L·R` that each row of `W` is | `[n]` |
//!
//! On a GPU the plain operations take many launches for matrices of a few hundred bytes, for each
//! convolution of a model and each pass; each kernel is one.
//!
//! # Backward
//! With the gradient `Γ` of `W` and its rows in the order of the product, `H[π_i] = Γ[i]`:
//! ```text
//! ∂/∂A   tril(H·Rᵀ, −1)        ∂/∂B   triu(Lᵀ·H, 1)        ∂/∂d   diag(Lᵀ·H)
//! ```
//! The graph keeps the factors.
//!
//! # Inverses
//! One unit solves for one column of `L⁻¹` or `R⁻¹` by substitution. The plain form joins pairs of
//! blocks; the head of `triangular.rs` has the accuracy of both.

#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "_gpu")]
mod node;
pub mod plain;
mod triangular;

#[cfg(feature = "_gpu")]
use burn::backend::tensor::{FloatTensor, IntTensor};
#[cfg(feature = "_gpu")]
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

use super::operands::{Checked, Operands, operands};
use super::served::{FLOATS_AND_HALVES, NONE, Served};

pub(crate) use triangular::inverse_of_lower;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: NONE, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait PluOps: Backend {
    /// `W`, `[n, n]`, of `lower [n, n]`, `upper [n, n]`, `diagonal [n]` and `permutation [n]`.
    #[fusion(dtype = lower, shape = lower)]
    fn plu_matrix(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
        permutation: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `L⁻¹` and `R⁻¹`, `[n, n]` each. They are constants of the graph.
    #[fusion(meta = |lower, upper, _diagonal| (lower.clone(), upper.clone()))]
    fn plu_inverses(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The gradients of the operation. Only the node of the graph calls these methods, on tensors of
/// the backend below autodiff.
///
/// # Panics
/// As in [`PluOps`].
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion)]
pub trait PluGradient: Backend {
    /// Gradients of `lower`, `upper` and `diagonal`.
    #[fusion(meta = |lower, upper, diagonal, _permutation, _gradient| {
        (lower.clone(), upper.clone(), diagonal.clone())
    })]
    fn plu_matrix_backward(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
        permutation: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// `W`, `[n, n]`.
///
/// # Shapes
/// `lower [n, n]`, `upper [n, n]`, `diagonal [n]`, `permutation [n]` to `[n, n]`.
///
/// # Panics
/// If shapes or types do not match.
pub fn matrix(
    lower: Tensor<2>,
    upper: Tensor<2>,
    diagonal: Tensor<1>,
    permutation: Tensor<1, Int>,
) -> Tensor<2> {
    check(operands!("plu", lower, upper, diagonal; permutation: permutation.dtype()));
    #[cfg(feature = "_gpu")]
    if SERVED.serves(&lower) {
        let permutation = permutation.into_dispatch();
        let [lower, upper] = [lower, upper].map(Tensor::into_dispatch);
        let diagonal = diagonal.into_dispatch();
        let matrix = <Dispatch as PluOps>::plu_matrix(lower, upper, diagonal, permutation);
        return Tensor::from_dispatch(matrix);
    }
    plain::matrix(lower, upper, diagonal, permutation)
}

/// `L⁻¹` and `R⁻¹`, outside the graph.
///
/// # Shapes
/// `lower [n, n]`, `upper [n, n]`, `diagonal [n]` to `[n, n]` each.
///
/// # Panics
/// If shapes or types do not match.
pub fn inverses(lower: Tensor<2>, upper: Tensor<2>, diagonal: Tensor<1>) -> (Tensor<2>, Tensor<2>) {
    check(operands!("plu", lower, upper, diagonal));
    let (lower, upper, diagonal) = (lower.inner(), upper.inner(), diagonal.inner());
    #[cfg(feature = "_gpu")]
    if SERVED.serves(&lower) {
        let [lower, upper] = [lower, upper].map(Tensor::into_dispatch);
        let diagonal = diagonal.into_dispatch();
        let (lower, upper) = <Dispatch as PluOps>::plu_inverses(lower, upper, diagonal);
        return (Tensor::from_dispatch(lower), Tensor::from_dispatch(upper));
    }
    plain::inverses(lower, upper, diagonal)
}

/// Checks that the operands fit. The gradient of `W` is checked if there is one.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let [n, _] = call.dims("lower");
    for square in ["lower", "upper", "gradient"] {
        call.expect(square, &[Some(n), Some(n)]);
    }
    call.expect("diagonal", &[Some(n)]);
    call.expect("permutation", &[Some(n)]);
    call.checked()
}
