//! Fused kernels for operations that are memory-bound when written with burn's primitives, and for
//! products that must keep every digit.
//!
//! Each operation has a folder with its formulas, its traits and the node of the graph, its form in
//! plain tensor operations, and the kernels of CPU and GPU. Users do not call these functions: laws
//! and layers do, and the device decides which form runs. `SERVED` of each operation says which
//! devices and types have kernels; all others take the plain form.
//!
//! | operation | serves |
//! |---|---|
//! | [`mixture_logistic`] | [`MixLogCdf`](crate::law::MixLogCdf) |
//! | [`mixture_coupling`] | couplings of [`MixLogCdf`](crate::law::MixLogCdf) |
//! | [`conv2d`] | convolutions of [`GatedNet`](crate::GatedNet) and [`GlowNet`](crate::GlowNet) |
//! | [`scaled_conv2d`] | scaled convolutions of [`GlowNet`](crate::GlowNet) and [`ZeroConv`](crate::ZeroConv) |
//! | [`channel_affine`] | [`ActNorm`](crate::ActNorm), and the scales of weights in Glow's networks |
//! | [`affine_coupling`] | couplings of [`Affine`](crate::law::Affine) |
//! | [`spline`] | [`RationalQuadraticSpline`](crate::law::RationalQuadraticSpline), [`CircularSpline`](crate::law::CircularSpline) |
//! | [`exact_product`] | [`Conv1x1`](crate::Conv1x1) and other maps that mix channels |
//! | [`plu`] | the matrix of [`Conv1x1`](crate::Conv1x1) |
//! | [`matrix_inverse`] | [`ChannelMatrix`](crate::ChannelMatrix) |
//! | [`linear`] | layers of [`Mlp`](crate::Mlp) and [`ResNet`](crate::ResNet) |
//! | [`projected_attention`], [`attention`] | [`GatedAttention`](crate::conditioner::layer::GatedAttention) |
//! | [`concat_elu`], [`gated_residual`], [`channel_norm`], [`gated_norm`] | [`GatedBlock`](crate::conditioner::layer::GatedBlock) |
//! | [`adam`], [`moving_average`] | [`Trainer`](crate::train::Trainer) |
//! | [`global_norm`] | [`clip_global_norm`](crate::train::clip_global_norm) |
//!
//! # Types
//! The operands of a call have one type. If they do not, every function panics with a message that
//! names them, as burn's operations panic.
//!
//! # Precision
//! Kernels compute in the type of their tensors, and 16-bit floats in f32; [`matrix_inverse`]
//! computes in more. Results agree with those of the plain form up to rounding, and may differ in
//! the last bits between instruction sets.

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
pub mod exact_product;
pub mod gated_norm;
pub mod gated_residual;
pub mod global_norm;
pub mod linear;
pub mod matrix_inverse;
pub mod mixture_coupling;
pub mod mixture_logistic;
pub mod moving_average;
mod node;
mod operands;
pub mod plu;
pub mod projected_attention;
pub mod scaled_conv2d;
mod served;
pub mod spline;
pub mod tensors;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use served::Served;
