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
pub mod channel_affine;
pub mod channel_norm;
pub mod concat_elu;
pub mod conv2d;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
pub mod epilogue;
pub mod gated_norm;
pub mod gated_residual;
pub mod linear;
pub mod mixture_logistic;
pub mod moving_average;
mod node;
mod operands;
mod served;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use served::Served;
