//! The released models, and two models for a single machine.

use super::{
    ChannelMixing, CouplingLaw, DequantizationConfig, FlowPlusPlusConfig, NoiseMixing, Resolution,
    StageConfig, VariationalConfig,
};
use crate::conditioner::{ConvStyle, ConvWeight, Mixing, OutputActivation};
use crate::model::flow_plus_plus::EncoderBlock;
use crate::reshape::{ChannelOrder, Pattern};

fn stage(resolution: Resolution, pattern: Pattern, n_couplings: usize) -> StageConfig {
    StageConfig { resolution, pattern, n_couplings }
}

/// Stages of the CIFAR-10 model: 4 couplings; after the squeeze 2, then 3.
fn cifar10_stages(pattern: Pattern) -> Vec<StageConfig> {
    vec![
        stage(Resolution::Keep, pattern, 4),
        stage(Resolution::Squeeze, Pattern::Channels, 2),
        stage(Resolution::Keep, pattern, 3),
    ]
}

/// Stages for larger images: 4 couplings on 32x32 positions, then 2 and 2 after each of two
/// squeezes.
fn large_stages(first: Resolution) -> Vec<StageConfig> {
    use Pattern::{Channels, Stripes};
    vec![
        stage(first, Stripes, 4),
        stage(Resolution::Squeeze, Channels, 2),
        stage(Resolution::Keep, Stripes, 2),
        stage(Resolution::Squeeze, Channels, 2),
        stage(Resolution::Keep, Stripes, 2),
    ]
}

/// The noise flow of the CIFAR-10 model with another width.
fn cifar10_noise(pattern: Pattern, n_filters: usize) -> VariationalConfig {
    VariationalConfig {
        pattern,
        n_couplings: 4,
        n_filters,
        n_blocks: 2,
        mixing: NoiseMixing::AsFlow,
        n_context: 32,
        n_encoder_blocks: 3,
        encoder_block: EncoderBlock::Conv,
    }
}

impl FlowPlusPlusConfig {
    /// The paper's CIFAR-10 model: 31,443,440 parameters.
    pub fn cifar10() -> Self {
        let noise = cifar10_noise(Pattern::Stripes, 96);
        Self::new(
            [3, 32, 32],
            cifar10_stages(Pattern::Stripes),
            DequantizationConfig::Variational(noise),
        )
        .with_style(ConvStyle::new().with_dropout(0.2))
    }

    /// The paper's ablation with uniform dequantization, 104 filters wide: 32,324,408 parameters.
    pub fn cifar10_uniform() -> Self {
        Self { dequantization: DequantizationConfig::Uniform, ..Self::cifar10() }
            .with_n_filters(104)
    }

    /// The paper's ablation with affine couplings, 108 filters wide: 32,045,708 parameters.
    pub fn cifar10_affine() -> Self {
        let noise = cifar10_noise(Pattern::Stripes, 108);
        Self { dequantization: DequantizationConfig::Variational(noise), ..Self::cifar10() }
            .with_law(CouplingLaw::Affine)
            .with_n_filters(108)
    }

    /// The paper's ablation without self-attention, which is replaced by a maximum over channels:
    /// 31,443,440 parameters.
    pub fn cifar10_without_attention() -> Self {
        Self::cifar10().with_mixing(Mixing::PositionwiseMaxout)
    }

    /// The paper's model of 32x32 ImageNet, with weight normalisation: 168,955,724 parameters.
    ///
    /// The released noise flow inverts its partition into stripes after four couplings and applies
    /// the same partition again for four more, which equals a flow of eight couplings.
    pub fn imagenet32() -> Self {
        let noise = VariationalConfig {
            n_couplings: 8,
            n_blocks: 8,
            n_encoder_blocks: 8,
            encoder_block: EncoderBlock::Attention { heads: 4 },
            ..cifar10_noise(Pattern::Stripes, 128)
        };
        let stages = vec![
            stage(Resolution::Keep, Pattern::Stripes, 4),
            stage(Resolution::Keep, Pattern::Stripes, 3),
            stage(Resolution::Squeeze, Pattern::Channels, 3),
            stage(Resolution::Keep, Pattern::Stripes, 3),
        ];
        Self::new([3, 32, 32], stages, DequantizationConfig::Variational(noise))
            .with_n_filters(128)
            .with_n_blocks(20)
            .with_channel_mixing(ChannelMixing::None)
            .with_output_activation(OutputActivation::ConcatElu)
            .with_style(ConvStyle::new().with_weight(ConvWeight::WeightNorm))
    }

    /// The model of images of 64x64 and larger, with `n_blocks` blocks.
    fn large(image: [usize; 3], first: Resolution, n_blocks: usize) -> Self {
        let noise = VariationalConfig {
            n_blocks: 5,
            mixing: NoiseMixing::None,
            n_encoder_blocks: 5,
            encoder_block: EncoderBlock::NormedConv,
            ..cifar10_noise(Pattern::Stripes, 96)
        };
        Self::new(image, large_stages(first), DequantizationConfig::Variational(noise))
            .with_law(CouplingLaw::mix_log_cdf(4))
            .with_n_blocks(n_blocks)
            .with_channel_mixing(ChannelMixing::None)
            .with_output_activation(OutputActivation::ConcatElu)
    }

    /// The paper's model of 64x64 ImageNet: 72,703,528 parameters.
    ///
    /// The released code counts 73,489,960. Each of the four couplings of its noise flow has a
    /// positional embedding `[96, 64, 32]` that is never read, since these couplings have no
    /// attention. `with_n_levels(32)` gives the released 5-bit model.
    pub fn imagenet64() -> Self {
        Self::large([3, 64, 64], Resolution::Squeeze, 16)
    }

    /// The released model of 64x64 CelebA at 5 bits: [`FlowPlusPlusConfig::imagenet64`] with 32
    /// levels. With 8 levels it is the released 3-bit model.
    pub fn celeba64() -> Self {
        Self::imagenet64().with_n_levels(32)
    }

    /// The released model of 128x128 CelebA at 5 bits: 119,645,224 parameters.
    ///
    /// The released code counts 122,790,952, with four positional embeddings `[96, 128, 64]` that
    /// are never read, as in [`FlowPlusPlusConfig::imagenet64`].
    pub fn celeba128() -> Self {
        Self::large([3, 128, 128], Resolution::SqueezeRepeatedly { times: 2 }, 12).with_n_levels(32)
    }

    /// The stages of the CIFAR-10 model with 32 filters, 2 blocks and 8 components, for a single
    /// machine: 1,716,336 parameters.
    pub fn small() -> Self {
        let pattern = Pattern::Checkerboard;
        let noise = DequantizationConfig::Variational(cifar10_noise(pattern, 32));
        Self::new([3, 32, 32], cifar10_stages(pattern), noise)
            .with_law(CouplingLaw::mix_log_cdf(8))
            .with_n_filters(32)
            .with_n_blocks(2)
            .with_squeeze_order(ChannelOrder::ChannelMajor)
            .with_variance_floor(1e-2)
            .with_style(ConvStyle::fan_in())
    }

    /// A model of MNIST's digits for a single machine: the stages of the CIFAR-10 model with
    /// 32 filters, 2 blocks and 4 components; 741,280 parameters, 1.5 MB in half precision.
    pub fn digits() -> Self {
        let pattern = Pattern::Checkerboard;
        let noise = VariationalConfig {
            n_couplings: 2,
            n_filters: 16,
            n_blocks: 1,
            n_context: 16,
            n_encoder_blocks: 2,
            ..cifar10_noise(pattern, 16)
        };
        Self::new([1, 28, 28], cifar10_stages(pattern), DequantizationConfig::Variational(noise))
            .with_law(CouplingLaw::mix_log_cdf(4))
            .with_n_filters(32)
            .with_n_blocks(2)
            .with_variance_floor(1e-2)
            .with_style(ConvStyle::fan_in().with_dropout(0.1))
    }

    /// A model that learns within minutes on two cores: four couplings at half resolution.
    pub fn tiny() -> Self {
        let noise = VariationalConfig {
            n_couplings: 2,
            n_blocks: 1,
            n_context: 16,
            ..cifar10_noise(Pattern::Checkerboard, 16)
        };
        let stages = vec![
            stage(Resolution::Squeeze, Pattern::Channels, 2),
            stage(Resolution::Keep, Pattern::Checkerboard, 2),
        ];
        Self::new([3, 32, 32], stages, DequantizationConfig::Variational(noise))
            .with_law(CouplingLaw::mix_log_cdf(4))
            .with_n_filters(16)
            .with_n_blocks(1)
            .with_variance_floor(1e-2)
    }
}
