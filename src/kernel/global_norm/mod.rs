//! The norm of many tensors together, and their product with a factor: what it takes to clip a
//! gradient.
//! ```text
//! norm      ‖g‖ = √(Σ_p Σ_i g_{p,i}²)      over the tensors p and their elements i
//! scaled    g · factor
//! ```
//! Plain operations take several launches for each tensor. The kernels take two for the norm and
//! one for the product, up to 157 tensors.
//!
//! # Numerics
//! Both compute in f32 (in f64 for f64), so the norm is infinite above 1.8e19, and NaN if an
//! element is. The order of the additions is fixed: the norm is the same in each run.

#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "_gpu")]
mod ops;
pub mod plain;

#[cfg(feature = "_gpu")]
use burn::backend::Dispatch;
use burn::backend::DispatchTensor;
use burn::tensor::Tensor;

use super::served::{FLOATS_AND_HALVES, NONE, Served};
#[cfg(feature = "_gpu")]
use super::tensors::{Tensors, grouped};

#[cfg(feature = "_gpu")]
pub use ops::GlobalNormOps;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: NONE, gpu: FLOATS_AND_HALVES };

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
    #[cfg(not(feature = "_gpu"))]
    Vec::new()
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
        let _ = factor;
        Vec::new()
    }
}
