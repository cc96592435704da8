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
//! ∂/∂W[g]  λ[g]·X[g]ᵀ from `l`, plus −X[g]ᵀ·Γ[g]·X[g]ᵀ from `X`
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
use burn::backend::{Backend, Dispatch, DispatchTensor, backend_extension};
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
    /// A node of burn has one output, so each of the methods below makes one of them a function of
    /// the matrices. They compute nothing before the backward pass.
    #[fusion(meta = |matrices| (matrices.clone(), one_of_each(matrices)))]
    fn inverse_and_log_abs_det(
        matrices: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `inverses`, which are `X` of `matrices`, as a function of them.
    #[fusion(dtype = matrices, shape = matrices)]
    fn inverse_of(matrices: FloatTensor<Self>, inverses: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `log_dets`, which are `l` of `matrices`, as a function of them. `inverses` are `X`.
    #[fusion(dtype = log_dets, shape = log_dets)]
    fn log_abs_det_of(
        matrices: FloatTensor<Self>,
        inverses: FloatTensor<Self>,
        log_dets: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Type and shape of `l`.
#[cfg(feature = "_gpu")]
fn one_of_each(matrices: &TensorSpec) -> TensorSpec {
    TensorSpec::new([matrices.shape[0]].into(), matrices.dtype)
}

/// Matrices that are factored, on the host or on their device.
#[derive(Debug)]
pub enum Factored {
    /// On the host, in float64.
    Host(Box<plain::Factored>),
    /// On the device.
    #[cfg(feature = "_gpu")]
    Device(Box<OnDevice>),
}

/// Matrices that are factored on their device.
#[cfg(feature = "_gpu")]
#[derive(Debug)]
pub struct OnDevice {
    matrices: Tensor<3>,
    /// `X`, through which no gradient flows.
    inverses: Tensor<3>,
    /// `l`, through which no gradient flows.
    log_dets: Tensor<1>,
}

/// Factors matrices `[G, n, n]` once, for inverses and log-determinants.
///
/// # Panics
/// If the matrices are not square.
pub fn factor(matrices: Tensor<3>) -> Factored {
    check(operands!("matrix_inverse", matrices));
    #[cfg(feature = "_gpu")]
    {
        let [groups, n, _] = matrices.dims();
        if SERVED.serves(&matrices) && (1..=MOST_COLUMNS).contains(&n) && groups <= MOST_MATRICES {
            return Factored::Device(Box::new(OnDevice::new(matrices)));
        }
    }
    Factored::Host(Box::new(plain::factor(matrices)))
}

impl Factored {
    /// The sum of `ln|det W_g|` over all matrices, `[1]`: −∞ if one is singular.
    pub fn log_abs_det(&self) -> Tensor<1> {
        match self {
            Self::Host(factored) => factored.log_abs_det(),
            #[cfg(feature = "_gpu")]
            Self::Device(factored) => factored.log_abs_dets().sum_dim(0),
        }
    }

    /// `W_g⁻¹` of each matrix, `[G, n, n]`: NaN throughout if it is singular, so later layers do
    /// not take a guess for data.
    pub fn inverse(&self) -> Tensor<3> {
        match self {
            Self::Host(factored) => factored.inverse(),
            #[cfg(feature = "_gpu")]
            Self::Device(factored) => factored.inverses(),
        }
    }
}

#[cfg(feature = "_gpu")]
impl OnDevice {
    fn new(matrices: Tensor<3>) -> Self {
        let (inverses, log_dets) =
            <Dispatch as MatrixInverseOps>::inverse_and_log_abs_det(raw(&matrices));
        let (inverses, log_dets) =
            (Tensor::from_dispatch(inverses), Tensor::from_dispatch(log_dets));
        Self { matrices, inverses, log_dets }
    }

    /// `l`, as a function of the matrices.
    fn log_abs_dets(&self) -> Tensor<1> {
        let Self { matrices, inverses, log_dets } = self;
        if !matrices.is_autodiff() {
            return log_dets.clone();
        }
        let (matrices, inverses, log_dets) = (raw(matrices), raw(inverses), raw(log_dets));
        let log_dets = <Dispatch as MatrixInverseOps>::log_abs_det_of(matrices, inverses, log_dets);
        Tensor::from_dispatch(log_dets)
    }

    /// `X`, as a function of the matrices.
    fn inverses(&self) -> Tensor<3> {
        let Self { matrices, inverses, .. } = self;
        if !matrices.is_autodiff() {
            return inverses.clone();
        }
        let inverses = <Dispatch as MatrixInverseOps>::inverse_of(raw(matrices), raw(inverses));
        Tensor::from_dispatch(inverses)
    }
}

#[cfg(feature = "_gpu")]
fn raw<const D: usize>(tensor: &Tensor<D>) -> DispatchTensor {
    tensor.clone().into_dispatch()
}

/// Checks that the matrices are square.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let [groups, n, _] = call.dims("matrices");
    call.expect("matrices", &exactly([groups, n, n]));
    call.checked()
}
