//! Inverses and log-determinants of small matrices.
//! ```text
//! X_g = W_g⁻¹        l_g = ln|det W_g|        W, X [G, n, n]      l [G]
//! ```
//! A determinant is a product of `n` factors, and what its logarithm loses counts once for each
//! position of an image. So matrices are factored in more than float32 whatever their type is: on
//! the CPU in float64 on the host ([`plain`]), on GPUs in pairs of float32, which one launch does
//! without a device-to-host copy.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `W` | matrices | `[G, n, n]` |
//! | `X` | their inverses; that of a matrix that is singular or not finite is NaN throughout | `[G, n, n]` |
//! | `l` | their log-determinants; that of a singular matrix is −∞ | `[G]` |
//!
//! # Backward
//! With the gradients `λ` of `l` and `Γ` of `X`:
//! ```text
//! ∂/∂W[g]  λ[g]·X[g]ᵀ        ∂/∂W[g]  −X[g]ᵀ·Γ[g]·X[g]ᵀ
//! ```
//! The graph keeps `X`. Of a singular matrix the gradient is NaN, or none from the host.
//!
//! # Cost
//! `O(G·n³)`. On a GPU one cube takes a matrix and one of its units a column, so matrices of more
//! than [`MOST_COLUMNS`] columns are factored on the host there too.

#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "_gpu")]
mod node;
pub mod plain;

#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
#[cfg(feature = "_gpu")]
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "_gpu")]
use burn::backend::{Backend, Dispatch, backend_extension};
#[cfg(feature = "_gpu")]
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::served::{NONE, SINGLES_AND_HALVES, Served};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: NONE, gpu: SINGLES_AND_HALVES };

/// Columns of the largest matrix that a kernel takes.
pub const MOST_COLUMNS: usize = 256;

/// Cubes of a launch, along its first axis.
#[cfg(feature = "_gpu")]
const MOST_MATRICES: usize = 65535;

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait MatrixInverseOps: Backend {
    /// `X`, `[G, n, n]`, and `l`, `[G]`, of `matrices [G, n, n]`. They are constants of the graph.
    #[fusion(meta = |matrices| (matrices.clone(), one_of_each(matrices)))]
    fn inverse_and_log_abs_det(
        matrices: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `X`, `[G, n, n]`, of `matrices [G, n, n]`.
    #[fusion(dtype = matrices, shape = matrices)]
    fn matrix_inverse(matrices: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `l`, `[G]`, of `matrices [G, n, n]`.
    #[fusion(dtype = matrices, shape = one_shape(matrices))]
    fn log_abs_det(matrices: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Type and shape of `l`.
#[cfg(feature = "_gpu")]
fn one_of_each(matrices: &TensorSpec) -> TensorSpec {
    TensorSpec::new(one_shape(&matrices.shape), matrices.dtype)
}

#[cfg(feature = "_gpu")]
fn one_shape(matrices: &Shape) -> Shape {
    [matrices[0]].into()
}

/// Matrices that are factored on the host, or will be on their device.
#[derive(Debug)]
pub enum Factored {
    /// Factored, in float64.
    Host(plain::Factored),
    /// The matrices.
    #[cfg(feature = "_gpu")]
    Device(Tensor<3>),
}

/// Prepares inverses and log-determinants of matrices `[G, n, n]`, both from one factorisation if
/// the host does it.
///
/// # Panics
/// If the matrices are not square.
pub fn factor(matrices: Tensor<3>) -> Factored {
    check(operands!("matrix_inverse", matrices));
    #[cfg(feature = "_gpu")]
    {
        let [groups, n, _] = matrices.dims();
        if SERVED.serves(&matrices) && (1..=MOST_COLUMNS).contains(&n) && groups <= MOST_MATRICES {
            return Factored::Device(matrices);
        }
    }
    Factored::Host(plain::factor(matrices))
}

impl Factored {
    /// The sum of `ln|det W_g|` over all matrices, `[1]`: −∞ if one is singular.
    pub fn log_abs_det(&self) -> Tensor<1> {
        match self {
            Self::Host(factored) => factored.log_abs_det(),
            #[cfg(feature = "_gpu")]
            Self::Device(matrices) => {
                let matrices = matrices.clone().into_dispatch();
                let each = <Dispatch as MatrixInverseOps>::log_abs_det(matrices);
                Tensor::<1>::from_dispatch(each).sum_dim(0)
            }
        }
    }

    /// `W_g⁻¹` of each matrix, `[G, n, n]`: NaN throughout if it is singular, so later layers do
    /// not take a guess for data.
    pub fn inverse(&self) -> Tensor<3> {
        match self {
            Self::Host(factored) => factored.inverse(),
            #[cfg(feature = "_gpu")]
            Self::Device(matrices) => {
                let matrices = matrices.clone().into_dispatch();
                Tensor::from_dispatch(<Dispatch as MatrixInverseOps>::matrix_inverse(matrices))
            }
        }
    }
}

/// Checks that the matrices are square.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let [groups, n, _] = call.dims("matrices");
    call.expect("matrices", &exactly([groups, n, n]));
    call.checked()
}
