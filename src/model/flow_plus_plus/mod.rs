//! Flow++: variational dequantization followed by a stack of MixLogCDF couplings, for images.
//! ```text
//! levels [B, C, H, W]
//!   dequantization    y = (x + u)/M,  u = flow(ε | context(x))                       a bound
//!   logit             margin 0.05
//!   stages            squeeze (or not) -> partition -> couplings times
//!                       (position norm, channel matrix, coupling, swap) -> partition undone
//!   prior             standard normal
//! ```
//! | configuration | image | stages (couplings) | filters | blocks | components | parameters |
//! |---|---|---|---|---|---|---|
//! | [`FlowPlusPlusConfig::tiny`] | 3x32x32 | squeeze, channels 2; checkerboard 2 | 16 | 1 | 4 | 243,872 |
//! | [`FlowPlusPlusConfig::small`] | 3x32x32 | checkerboard 4; squeeze, channels 2; checkerboard 3 | 32 | 2 | 8 | 1,716,336 |
//! | [`FlowPlusPlusConfig::digits`] | 1x28x28 | as `small` | 32 | 2 | 4 | 741,280 |
//! | [`FlowPlusPlusConfig::cifar10`] | 3x32x32 | stripes 4; squeeze, channels 2; stripes 3 | 96 | 10 | 32 | 31,443,440 |
//! | [`FlowPlusPlusConfig::cifar10_uniform`] | | the same | 104 | 10 | 32 | 32,324,408 |
//! | [`FlowPlusPlusConfig::cifar10_affine`] | | the same | 108 | 10 | affine | 32,045,708 |
//! | [`FlowPlusPlusConfig::cifar10_without_attention`] | | the same | 96 | 10 | 32 | 31,443,440 |
//! | [`FlowPlusPlusConfig::imagenet32`] | 3x32x32 | stripes 4, 3; squeeze, channels 3; stripes 3 | 128 | 20 | 32 | 168,955,724 |
//! | [`FlowPlusPlusConfig::imagenet64`], [`FlowPlusPlusConfig::celeba64`] | 3x64x64 | squeeze, stripes 4; twice: squeeze, channels 2; stripes 2 | 96 | 16 | 4 | 72,703,528 of 73,489,960 |
//! | [`FlowPlusPlusConfig::celeba128`] | 3x128x128 | two squeezes, then as before | 96 | 12 | 4 | 119,645,224 of 122,790,952 |
//!
//! Parameters "of": the released code counts positional embeddings in the noise flow of these
//! models that are never read. Here they do not exist.
//!
//! [`FlowPlusPlus`] is a [`Flow`] with a dequantization. The methods are those of
//! [`Density`](crate::Density).
//!
//! # Reference
//! Ho et al. 2019. All models but `tiny`, `small` and `digits` follow the released code layer by layer, with
//! two exceptions. The order of parameters within a layer differs. The initialisation of positions
//! that are nearly constant in the first batch, such as a dark border, differs too: the released
//! code enlarges their noise to variance 1 ([`ConstantChannel`](crate::ConstantChannel)). `small`
//! is the same model at a size for a single machine, with a true checkerboard, a larger variance
//! floor in the norms and an initialisation of the networks that ignores the data.

pub mod authors;
pub mod config;
pub mod encoder;
pub mod preset;

pub use config::{
    ChannelMixing, CouplingLaw, DequantizationConfig, FlowPlusPlusConfig, NoiseMixing, Resolution,
    StageConfig, VariationalConfig,
};
pub use encoder::{EncoderBlock, FlowPlusPlusEncoder, FlowPlusPlusEncoderConfig};
pub use preset::FlowPlusPlusPreset;

use crate::bijector::invert::Invert;
use crate::conditioner::GatedNet;
use crate::coupling::Coupling;
use crate::elementwise::{Logit, Sigmoid};
use crate::flow::Flow;
use crate::law::AnyLaw;
use crate::linear::{ChannelMatrix, PositionNorm};
use crate::prior::StandardNormal;
use crate::quantize::{UniformDequantization, VariationalDequantization};
use crate::reshape::{Partition, Squeeze, Swap};

/// The model. Built by [`FlowPlusPlusConfig::build`].
pub type FlowPlusPlus = Flow<FlowPlusPlusLayers, StandardNormal, 4, (), FlowPlusPlusDequantization>;

/// Maps dequantized images to latents: the logit, then the stages.
pub type FlowPlusPlusLayers = (Logit, Vec<Stage>);

/// One coupling, with the norm and the matrix that precede it and the swap that follows.
pub type Step = (PositionNorm<4>, Option<ChannelMatrix>, Coupling<AnyLaw, GatedNet>, Swap);

/// The flow of the dequantization noise.
pub type NoiseFlow = (Partition, Vec<Step>, Invert<Partition>, Sigmoid);

crate::chain! {
    /// Couplings at one resolution, in one pattern.
    pub struct Stage {
        /// Squeezes before the couplings, first to last.
        pub squeezes: Vec<Squeeze>,
        /// Pattern of the halves.
        pub partition: Partition,
        /// Couplings, first to last.
        pub steps: Vec<Step>,
        !partition,
    }
}

crate::choice! {
    /// The dequantization chosen by a configuration.
    pub enum FlowPlusPlusDequantization: Surjection<4> {
        /// Uniform noise (the paper's ablation).
        Uniform(UniformDequantization),
        /// Noise from a conditional flow.
        Variational(VariationalDequantization<FlowPlusPlusEncoder, NoiseFlow>),
    }
}

impl FlowPlusPlusDequantization {
    /// Number of levels of the data.
    pub fn n_levels(&self) -> usize {
        match self {
            Self::Uniform(inner) => inner.n_levels(),
            Self::Variational(inner) => inner.n_levels(),
        }
    }
}
