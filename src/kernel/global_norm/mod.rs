//! The norm of many tensors together, and their product with a factor: what it takes to clip a
//! gradient.
//! ```text
//! norm      ‖g‖ = √(Σ_p Σ_i g_{p,i}²)      over the tensors p and their elements i
//! scaled    g · factor
//! ```
//! Plain operations take several launches for each tensor. The kernels take two for the norm and
//! one for the product, for up to 160 tensors on a device that binds as many.
//!
//! # Numerics
//! Both compute in f32 (in f64 for f64), so the norm is infinite above 1.8e19, and NaN if an
//! element is. The order of the additions is fixed: the norm is the same in each run.

#[cfg(feature = "_gpu")]
mod cube;
pub mod plain;

use burn::backend::DispatchTensor;
#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
#[cfg(feature = "_gpu")]
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "_gpu")]
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

#[cfg(feature = "_gpu")]
use super::cube::arithmetic;
use super::served::{FLOATS_AND_HALVES, NONE, Served};
#[cfg(feature = "_gpu")]
use super::tensors::{Tensors, grouped};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: NONE, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors, of one type and at least one.
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion)]
pub trait GlobalNormOps: Backend {
    /// [`norms`]: the norm of all tensors, `[1]`.
    #[fusion(meta = norm)]
    fn global_norm(#[extension_type] tensors: Tensors<Self>) -> FloatTensor<Self>;

    /// [`scale_all`]: the products, in place for tensors whose memory nobody else
    /// holds.
    #[fusion(meta = scaled)]
    fn scale_all(#[extension_type] tensors: Tensors<Self>, factor: f64) -> Tensors<Self>;
}

#[cfg(feature = "_gpu")]
fn norm(tensors: &[TensorSpec]) -> TensorSpec {
    TensorSpec::new([1].into(), arithmetic(tensors[0].dtype))
}

#[cfg(feature = "_gpu")]
fn scaled(tensors: &[TensorSpec], _factor: &f64) -> Vec<TensorSpec> {
    tensors.to_vec()
}

/// The norms, each `[1]`, of the tensors of each device and type, of any numbers of axes.
///
/// # Panics
/// If the kernels do not serve a tensor.
pub fn norms(tensors: Vec<DispatchTensor>) -> Vec<Tensor<1>> {
    tensors.iter().for_each(|tensor| SERVED.require("global_norm", [tensor]));
    #[cfg(feature = "_gpu")]
    {
        let mut norms = Vec::new();
        let tensors = tensors.into_iter().map(|tensor| [tensor]).collect();
        grouped(tensors, |[tensors]| -> [Tensors<Dispatch>; 0] {
            norms.push(Tensor::from_dispatch(<Dispatch as GlobalNormOps>::global_norm(tensors)));
            []
        });
        norms
    }
    // Without a GPU backend every tensor was refused above.
    #[cfg(not(feature = "_gpu"))]
    tensors.into_iter().map(|_| -> Tensor<1> { unreachable!("a norm without a kernel") }).collect()
}

/// The products of tensors and a factor, in their order and types.
///
/// # Panics
/// If the kernels do not serve a tensor.
pub fn scale_all(tensors: Vec<DispatchTensor>, factor: f64) -> Vec<DispatchTensor> {
    tensors.iter().for_each(|tensor| SERVED.require("global_norm", [tensor]));
    #[cfg(feature = "_gpu")]
    {
        let tensors = tensors.into_iter().map(|tensor| [tensor]).collect();
        let scaled =
            grouped(tensors, |[tensors]| [<Dispatch as GlobalNormOps>::scale_all(tensors, factor)]);
        scaled.into_iter().map(|[scaled]| scaled).collect()
    }
    #[cfg(not(feature = "_gpu"))]
    {
        let product = |_| -> DispatchTensor { unreachable!("a product with {factor}, no kernel") };
        tensors.into_iter().map(product).collect()
    }
}
