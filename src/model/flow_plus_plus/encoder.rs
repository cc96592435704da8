//! The network that conditions the dequantization noise on the image.
//! ```text
//! h = partition(x)                       [B, 2C, H, W/2]: both halves side by side
//! h = conv3x3(h)                         A channels
//! blocks times
//!   Conv             h = gated_conv(h)                            3x3 gate
//!   NormedConv       h = norm(gated_conv(h))
//!   Attention        h = norm(gated_conv(h));  h = norm(gated_attention(h, p))
//! ```
//! `p [1, A, H, W/2]`, from N(0, 0.01²), is the positional embedding, shared by all blocks. The
//! output has the shape of one half, so every coupling of the noise flow can use it as its
//! condition.
//!
//! # Reference
//! The released code of Ho et al. 2019: three `Conv` for CIFAR-10, eight `Attention` for 32x32
//! ImageNet, five `NormedConv` for larger images.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, LayerConfig, Site};
use crate::conditioner::layer::{
    DataInitConv, DataInitConvConfig, GateKernel, GatedBlock, GatedBlockConfig, GatedConv,
    GatedConvConfig,
};
use crate::conditioner::{ConvStyle, Mixing};
use crate::context::ContextShape;
use crate::encoder::{Encoder, EncoderConfig};
use crate::error::ConfigError;
use crate::reshape::{Partition, PartitionConfig, Pattern};
use crate::tensor::limit::{product, sum};
use crate::tensor::parameter;

/// Kind of a block of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum EncoderBlock {
    /// A gated convolution.
    Conv,
    /// A gated convolution and a norm.
    NormedConv,
    /// A gated convolution and gated self-attention, each followed by a norm.
    Attention {
        /// Number of heads, which divides the number of channels.
        heads: usize,
    },
}

config! {
    /// Configuration of [`FlowPlusPlusEncoder`].
    #[derive(Debug)]
    pub struct FlowPlusPlusEncoderConfig {
        /// Pattern of the noise flow.
        pub pattern: Pattern,
        /// Number of channels `A` of the context.
        pub n_context: usize,
        /// Number of blocks.
        pub n_blocks: usize,
        /// Kind of the blocks.
        pub block: EncoderBlock,
        /// Dropout, initialisation and weights of the convolutions.
        pub style: ConvStyle = ConvStyle::default(),
    }
}

impl FlowPlusPlusEncoderConfig {
    /// Number of parameters of the network for images of the site's shape, counted without building
    /// it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self, site: &Site<4>) -> Result<usize, ConfigError> {
        const NAME: &str = "FlowPlusPlusEncoderConfig";
        let [_, channels, h, w] = self.halves(site)?;
        ConfigError::positive(NAME, "n_context", self.n_context)?;
        ConfigError::repeated(NAME, "n_blocks", self.n_blocks)?;
        let input = self.input(channels).num_params()?;
        let (positions, block) = match self.block {
            EncoderBlock::Conv => (0, self.conv().num_params()?),
            EncoderBlock::NormedConv => (0, self.normed(None).num_params()?),
            EncoderBlock::Attention { heads } => {
                let block = self.normed(Some(Mixing::Attention { heads })).num_params()?;
                (product([self.n_context, h, w]), block)
            }
        };
        let sizes = [
            ("channels", channels),
            ("height", h),
            ("width", w),
            ("n_context", self.n_context),
            ("n_blocks", self.n_blocks),
        ];
        let total = sum([input, positions, product([self.n_blocks, block])]);
        ConfigError::parameters(NAME, total, sizes)
    }

    /// Shape of both halves of an image, side by side.
    fn halves(&self, site: &Site<4>) -> Result<[usize; 4], ConfigError> {
        Ok(PartitionConfig::new(self.pattern).plan(site)?.output)
    }

    fn input(&self, channels: usize) -> DataInitConvConfig {
        self.style.conv(channels, self.n_context, 3, self.style.inner)
    }

    fn conv(&self) -> GatedConvConfig {
        GatedConvConfig::new(self.n_context).with_gate(GateKernel::Three).with_style(self.style)
    }

    fn normed(&self, mixing: Option<Mixing>) -> GatedBlockConfig {
        GatedBlockConfig::new(self.n_context)
            .with_mixing(mixing)
            .with_gate(GateKernel::Three)
            .with_style(self.style)
    }
}

impl EncoderConfig<4> for FlowPlusPlusEncoderConfig {
    type Encoder = FlowPlusPlusEncoder;

    /// The shape of one half of the image, with `n_context` channels.
    fn context(&self, site: &Site<4>) -> Result<ContextShape, ConfigError> {
        let [_, _, h, w] = self.halves(site)?;
        Ok(ContextShape::new(vec![vec![1, self.n_context, h, w]]))
    }

    fn num_params(&self, site: &Site<4>) -> Result<usize, ConfigError> {
        Self::num_params(self, site)
    }

    fn build(&self, site: &Site<4>) -> Result<FlowPlusPlusEncoder, ConfigError> {
        self.num_params(site)?;
        let ([_, channels, h, w], device) = (self.halves(site)?, site.device());
        let conv = |_| self.conv().build(device);
        let normed = |mixing| {
            (0..self.n_blocks).map(|_| self.normed(mixing).build(device)).collect::<Result<_, _>>()
        };
        let (positions, blocks, normed_blocks) = match self.block {
            EncoderBlock::Conv => {
                (None, (0..self.n_blocks).map(conv).collect::<Result<_, _>>()?, vec![])
            }
            EncoderBlock::NormedConv => (None, vec![], normed(None)?),
            EncoderBlock::Attention { heads } => {
                let positions = parameter::normal([1, self.n_context, h, w], 0.01, device);
                (Some(positions), vec![], normed(Some(Mixing::Attention { heads }))?)
            }
        };
        let partition = PartitionConfig::new(self.pattern).build(site)?;
        // The blocks sample their initial weights before the first convolution.
        let input = self.input(channels).build(device)?;
        Ok(FlowPlusPlusEncoder { partition, input, positions, blocks, normed_blocks })
    }
}

/// Context network of Flow++. The formulas head this module.
#[derive(Module, Debug)]
pub struct FlowPlusPlusEncoder {
    /// Pattern of the noise flow.
    pub partition: Partition,
    /// 3x3, `2C -> A`.
    pub input: DataInitConv,
    /// Positional embedding `p`, `[1, A, H, W/2]`, for attention.
    pub positions: Option<Param<Tensor<4>>>,
    /// Gated convolutions without norms, first to last.
    pub blocks: Vec<GatedConv>,
    /// Blocks with norms, first to last.
    pub normed_blocks: Vec<GatedBlock>,
}

impl FlowPlusPlusEncoder {
    fn halves(&self, x: Tensor<4>) -> Tensor<4> {
        self.partition.forward(x, &()).0
    }
}

impl Encoder<4> for FlowPlusPlusEncoder {
    type Code = Tensor<4>;

    fn encode(&self, x: Tensor<4>) -> Tensor<4> {
        let positions = self.positions.as_ref().map(Param::val);
        let h = self.input.forward(self.halves(x));
        let h = self.blocks.iter().fold(h, |h, block| block.forward(h, None));
        self.normed_blocks.iter().fold(h, |h, block| block.forward(h, positions.as_ref(), None))
    }

    fn initialize(self, x: Tensor<4>) -> (Self, Tensor<4>) {
        let halves = self.halves(x);
        let positions = self.positions.as_ref().map(Param::val);
        let (input, mut h) = self.input.initialize(halves);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in self.blocks {
            let (block, y) = block.initialize(h, None);
            blocks.push(block);
            h = y;
        }
        let mut normed_blocks = Vec::with_capacity(self.normed_blocks.len());
        for block in self.normed_blocks {
            let (block, y) = block.initialize(h, positions.as_ref(), None);
            normed_blocks.push(block);
            h = y;
        }
        (
            Self {
                partition: self.partition,
                input,
                positions: self.positions,
                blocks,
                normed_blocks,
            },
            h,
        )
    }
}
