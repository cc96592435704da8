//! The network of Flow++'s couplings: gated convolutions and gated self-attention.
//! ```text
//! h = conv3x3(kept)                                       F channels
//! blocks times   h = norm(gated_conv(h, context));  h = norm(gated_attention(h, p))
//! theta = conv3x3(h)                                      params·C channels, start at deviation 0.1
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `p` | positions, shared by all blocks | `[1, F, H, W]`, from N(0, 0.01²) | yes |
//!
//! Output channel `j·C + c` is parameter `j` of channel `c`, so theta is a reshape. The released code orders them `c·params + j`.
//!
//! Conditions are feature maps `[B, A, H, W]`, vectors `[B, A]`, which hold at all positions, and pairs of them. The data-dependent start
//! divides by the deviation of what the condition adds: its batch must hold different conditions, or unseen ones come in ten thousandfold.
//!
//! # Reference
//! Ho et al. 2019 §3.3; layers and starts of the released CIFAR-10 code.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use super::widths::Widths;
use super::{
    ChannelNorm, ChannelNormConfig, Conditioner, ConvStart, GatedAttention, GatedAttentionConfig, GatedConv,
    GatedConvConfig, Mixing, StartedConv, StartedConvConfig,
};
use crate::context::MapContext;
use crate::error::{ConfigError, ShapeError, check_shape};

/// Configuration of [`GatedNet`].
#[derive(Config, Debug)]
pub struct GatedNetConfig {
    /// Shape `[C, H, W]` of the kept half, which is that of the other half too.
    pub half: [usize; 3],
    /// Parameters of the law for each number.
    pub n_params: usize,
    /// Filters `F`.
    pub n_filters: usize,
    /// Blocks.
    pub n_blocks: usize,
    /// Channels or width of the context; `None`: no context.
    pub n_context: Option<usize>,
    /// How positions are mixed.
    #[config(default = "Mixing::Attention { heads: 4 }")]
    pub mixing: Mixing,
    /// Probability that an activation is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Start of the inner convolutions.
    #[config(default = "ConvStart::DataDependent { scale: 1.0 }")]
    pub start: ConvStart,
    /// Start of the convolutions that give gates.
    #[config(default = "ConvStart::DataDependent { scale: 0.1 }")]
    pub gate_start: ConvStart,
    /// Start of the last convolution.
    #[config(default = "ConvStart::DataDependent { scale: 0.1 }")]
    pub output_start: ConvStart,
}

impl GatedNetConfig {
    /// Whether the configuration describes a network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "GatedNetConfig";
        let [c, h, w] = self.half;
        let counts = [("half[0]", c), ("half[1]", h), ("half[2]", w), ("n_params", self.n_params)];
        for (field, value) in counts {
            ConfigError::positive(NAME, field, value)?;
        }
        if self.n_context.is_some() {
            // The context enters through the blocks.
            ConfigError::positive(NAME, "n_blocks", self.n_blocks)?;
        }
        self.output_start.validate(NAME)?;
        self.conv().validate()?;
        self.attention().validate()
    }

    fn conv(&self) -> GatedConvConfig {
        GatedConvConfig::new(self.n_filters)
            .with_n_context(self.n_context)
            .with_dropout(self.dropout)
            .with_start(self.start)
            .with_gate_start(self.gate_start)
    }

    fn attention(&self) -> GatedAttentionConfig {
        GatedAttentionConfig::new(self.n_filters)
            .with_mixing(self.mixing)
            .with_dropout(self.dropout)
            .with_start(self.start)
            .with_gate_start(self.gate_start)
    }

    /// The network.
    ///
    /// # Panics
    /// If [`GatedNetConfig::validate`] is an error.
    pub fn init(&self, device: &Device) -> GatedNet {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let ([c, h, w], f) = (self.half, self.n_filters);
        let block = |_| GatedBlock {
            conv: self.conv().init(device),
            conv_norm: ChannelNormConfig::new(f).init(device),
            attention: self.attention().init(device),
            attention_norm: ChannelNormConfig::new(f).init(device),
        };
        GatedNet {
            input: StartedConvConfig::new(c, f).with_start(self.start).init(device),
            positions: Initializer::Normal { mean: 0.0, std: 0.01 }.init([1, f, h, w], device),
            blocks: (0..self.n_blocks).map(block).collect(),
            output: StartedConvConfig::new(f, self.n_params * c).with_start(self.output_start).init(device),
        }
    }
}

/// Gated convolution and gated attention, each with a norm behind it.
#[derive(Module, Debug)]
pub struct GatedBlock {
    /// Gated convolution.
    pub conv: GatedConv,
    /// Norm behind the convolution.
    pub conv_norm: ChannelNorm,
    /// Gated attention.
    pub attention: GatedAttention,
    /// Norm behind the attention.
    pub attention_norm: ChannelNorm,
}

impl GatedBlock {
    fn forward(&self, x: Tensor<4>, positions: Tensor<4>, context: Option<&Tensor<4>>) -> Tensor<4> {
        let h = self.conv_norm.forward(self.conv.forward(x, context));
        self.attention_norm.forward(self.attention.forward(h, positions))
    }

    fn initialize(self, x: Tensor<4>, positions: Tensor<4>, context: Option<&Tensor<4>>) -> (Self, Tensor<4>) {
        let (conv, h) = self.conv.initialize(x, context);
        let h = self.conv_norm.forward(h).detach();
        let (attention, h) = self.attention.initialize(h, positions);
        let h = self.attention_norm.forward(h).detach();
        (Self { conv, attention, ..self }, h)
    }
}

/// The network of Flow++'s couplings. The formulas head this module.
#[derive(Module, Debug)]
pub struct GatedNet {
    /// 3x3, `C -> F`.
    pub input: StartedConv,
    /// Positions `p`, `[1, F, H, W]`.
    pub positions: Param<Tensor<4>>,
    /// The blocks, first to last.
    pub blocks: Vec<GatedBlock>,
    /// 3x3, `F -> params·C`.
    pub output: StartedConv,
}

impl GatedNet {
    fn run(&self, kept: Tensor<4>, context: Option<&Tensor<4>>) -> Tensor<3> {
        let c = kept.dims()[1];
        let positions = self.positions.val();
        let h = self.input.forward(kept);
        let h = self.blocks.iter().fold(h, |h, block| block.forward(h, positions.clone(), context));
        theta(self.output.forward(h), c)
    }

    fn start(self, kept: Tensor<4>, context: Option<&Tensor<4>>) -> (Self, Tensor<3>) {
        let c = kept.dims()[1];
        let positions = self.positions.val();
        let (input, mut h) = self.input.initialize(kept);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in self.blocks {
            let (block, y) = block.initialize(h, positions.clone(), context);
            blocks.push(block);
            h = y;
        }
        let (output, y) = self.output.initialize(h);
        (Self { input, positions: self.positions, blocks, output }, theta(y, c))
    }

    fn widths(&self) -> Widths {
        let [c, _] = self.input.channels();
        let [_, outputs] = self.output.channels();
        // concat_elu doubles the channels of the context before its convolution.
        let layer = self.blocks.first().and_then(|block| block.conv.context.as_ref());
        Widths { kept: c, other: c, params: outputs / c, context: layer.map(|layer| layer.channels()[0] / 2) }
    }
}

/// `[B, params·C, H, W]` to `[B, params, C·H·W]`.
fn theta(output: Tensor<4>, c: usize) -> Tensor<3> {
    let [b, channels, h, w] = output.dims();
    output.reshape([b, channels / c, c * h * w])
}

impl<C: MapContext> Conditioner<4, C> for GatedNet {
    fn forward(&self, kept: Tensor<4>, context: &C) -> Tensor<3> {
        check_shape(Conditioner::<4, C>::check_context(self, kept.dims(), context));
        self.run(kept, context.map().as_ref())
    }

    fn check(&self, kept: [usize; 4], other: [usize; 4], n_params: usize) -> Result<(), ShapeError> {
        self.widths().check("GatedNet", kept, other, n_params, C::N_PARTS)?;
        let [_, _, h, w] = self.positions.lazy_shape().dims();
        for (axis, expected) in [(2, h), (3, w)] {
            for shape in [kept, other] {
                if shape[axis] != expected {
                    return Err(ShapeError::Axis { layer: "GatedNet", axis, expected, shape: shape.to_vec() });
                }
            }
        }
        Ok(())
    }

    fn check_context(&self, kept: [usize; 4], context: &C) -> Result<(), ShapeError> {
        self.widths().check_context("GatedNet", kept, &context.maps())
    }

    fn initialize(self, kept: Tensor<4>, context: &C) -> (Self, Tensor<3>) {
        check_shape(Conditioner::<4, C>::check_context(&self, kept.dims(), context));
        self.start(kept, context.map().as_ref())
    }
}
