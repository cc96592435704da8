//! Fused kernels for operations that are memory-bound when written with burn's primitives.
//!
//! Each operation has a folder with its formulas, a reference of plain tensor operations, the
//! kernels of CPU and GPU, and its backward pass. The reference is the definition; it is the oracle
//! of the tests, and runs on backends without kernels. Users do not call these functions: laws and
//! layers do, and the device decides which form runs.
//!
//! | operation | serves | kernels |
//! |---|---|---|
//! | [`mixture_logistic`] | [`MixLogCdf`](crate::law::MixLogCdf) | CPU, GPU |
//! | [`conv2d`] | convolutions of [`GatedNet`](crate::GatedNet) and [`GlowNet`](crate::GlowNet) | CPU |
//! | [`channel_affine`] | [`ActNorm`](crate::ActNorm), and the scales of weights in Glow's networks | CPU |
//! | [`affine_coupling`] | couplings of [`Affine`](crate::law::Affine) | CPU |
//! | [`linear`] | layers of [`Mlp`](crate::Mlp) and [`ResNet`](crate::ResNet) | CPU |
//! | [`attention`] | [`GatedAttention`](crate::conditioner::layer::GatedAttention) | CPU |
//! | [`concat_elu`], [`gated_residual`], [`channel_norm`], [`gated_norm`] | [`GatedBlock`](crate::conditioner::layer::GatedBlock) | CPU |
//! | [`adam`], [`moving_average`] | [`Trainer`](crate::train::Trainer) | CPU |
//!
//! # Precision
//! Kernels compute in the type of their tensors, and 16-bit floats in f32. Results agree with those
//! of the reference up to rounding, and may differ in the last bits between instruction sets.

pub mod adam;
pub mod affine_coupling;
pub mod attention;
mod autodiff;
pub mod channel_affine;
pub mod channel_norm;
pub mod concat_elu;
pub mod conv2d;
#[cfg(feature = "_gpu")]
mod cube;
pub mod epilogue;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod flex_slices;
pub mod gated_norm;
pub mod gated_residual;
pub mod linear;
#[cfg(feature = "flex")]
mod matmul;
pub mod mixture_logistic;
pub mod moving_average;
mod network;
mod node;
mod operands;
#[cfg(feature = "flex")]
mod parallel;
#[cfg(feature = "flex")]
mod remainder;
#[cfg(feature = "flex")]
mod scratch;
#[cfg(feature = "flex")]
mod simd;
#[cfg(all(test, feature = "flex"))]
mod tests;
mod training;
#[cfg(feature = "flex")]
mod transpose;
#[cfg(feature = "flex")]
mod uninitialised;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, DispatchDevice, backend_extension};
use burn::tensor::{DType, Device, Shape};

pub use network::NetworkOps;
pub use training::TrainingOps;

/// The kernels of a backend.
///
/// Implemented for burn's CPU backend, for its GPU backends (with and without fusion) and for
/// autodiff around any of them.
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
pub trait FlowOps: Backend {
    /// [`mixture_logistic::forward`] maps `x [batch, dims]` and `theta [batch, 2 + 3K, dims]` to
    /// `z` and the log-derivative, `[2, batch, dims]`.
    #[fusion(dtype = x, shape = stacked(2, x))]
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self>;

    /// Gradients of `x` and `theta` from those of both outputs, `gradient [2, batch, dims]`.
    #[fusion(meta = |x, theta, _gradient, _min_log_scale| (x.clone(), theta.clone()))]
    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// [`mixture_logistic::solve`] maps `z [batch, dims]` to `x`, the residual, and 1 where it is
    /// solved or 0 where not, `[3, batch, dims]`.
    #[fusion(dtype = z, shape = stacked(3, z))]
    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self>;
}

/// The shape of `n` stacked tensors.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn stacked(n: usize, shape: &Shape) -> Shape {
    let mut dims = vec![n];
    dims.extend(shape.iter());
    dims.into()
}

/// Whether tensors of a device have the kernels of this trait.
pub(crate) fn serve(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "_gpu")]
        DispatchDevice::Cube(_) => true,
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// Whether tensors of a device and type have the kernels of networks.
pub(crate) fn serve_networks(device: &Device, dtype: DType) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => matches!(dtype, DType::F32 | DType::F64),
        #[allow(unreachable_patterns)]
        _ => false,
    }
}
