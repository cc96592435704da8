//! The network of Flow++'s couplings: gated convolutions and gated self-attention.
//! ```text
//! h = conv3x3(kept)                                       F channels
//! blocks times   h = norm(gated_conv(h, context));  h = norm(gated_attention(h, p))
//! h = celu(h)                                             2F channels; OutputActivation::None leaves it out
//! theta = conv3x3(h)                                      params·C channels, start at deviation 0.1, whatever the law
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `p` | positions, shared by all blocks; none without mixing | `[1, F, H, W]`, from N(0, 0.01²) | yes |
//!
//! Output channel `j·C + c` is parameter `j` of channel `c`, so theta is a reshape. The released code orders them `c·params + j`.
//!
//! Conditions are feature maps `[B, A, H, W]`, vectors `[B, A]`, which hold at all positions, and pairs of them. The data-dependent start
//! divides by the deviation of what the condition adds: its batch must hold different conditions, or unseen ones come in ten thousandfold.
//!
//! # Reference
//! Ho et al. 2019 §3.3; layers and starts of the released code. Differs: networks without mixing have no `p`, where the code makes one and
//! leaves it unread.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::theta_init::{LastLayer, check_n_params};
use super::widths::Widths;
use super::{
    Conditioner, ConvInit, ConvWeight, DataInitConv, DataInitConvConfig, GatedBlock, GatedBlockConfig, Mixing,
    NetShape, ThetaInit, concat_elu,
};
use crate::context::MapContext;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::Law;
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::{MOST_REPEATS, MOST_SIZE, product, sum};
use crate::tensor::parameter;

/// What stands before the last convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputActivation {
    /// Nothing (the CIFAR-10 model).
    None,
    /// [`concat_elu`], so that the convolution has `2F` inputs (the ImageNet and CelebA models).
    ConcatElu,
}

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
    /// How positions are mixed; `None`: not at all, by blocks of convolutions alone.
    #[config(default = "Some(Mixing::Attention { heads: 4 })")]
    pub mixing: Option<Mixing>,
    /// What stands before the last convolution.
    #[config(default = "OutputActivation::None")]
    pub output_activation: OutputActivation,
    /// Probability that an activation is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Start of the inner convolutions.
    #[config(default = "ConvInit::DataDependent { scale: 1.0 }")]
    pub start: ConvInit,
    /// Start of the convolutions that give gates.
    #[config(default = "ConvInit::DataDependent { scale: 0.1 }")]
    pub gate_init: ConvInit,
    /// Start of the last convolution.
    #[config(default = "ConvInit::DataDependent { scale: 0.1 }")]
    pub output_init: ConvInit,
    /// What the weights of the convolutions are made of.
    #[config(default = "ConvWeight::Plain")]
    pub weight: ConvWeight,
}

impl GatedNetConfig {
    /// Whether the configuration describes a network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Parameters of the network, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
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
        ConfigError::positive(NAME, "n_filters", self.n_filters)?;
        ConfigError::positive(NAME, "n_context", self.n_context.unwrap_or(1))?;
        ConfigError::at_most(NAME, "n_blocks", self.n_blocks, MOST_REPEATS)?;
        let sizes = [
            ("half[0]", c),
            ("half[1]", h),
            ("half[2]", w),
            ("n_params", self.n_params),
            ("n_filters", self.n_filters),
            ("n_blocks", self.n_blocks),
            ("n_context", self.n_context.unwrap_or(0)),
        ];
        let total = ConfigError::parameters(NAME, self.count(), sizes)?;
        ConfigError::at_most(NAME, "n_params·half[0]", product([self.n_params, c]), MOST_SIZE)?;
        self.output_init.validate(NAME, self.weight)?;
        self.block().validate()?;
        Ok(total)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let ([c, h, w], f) = (self.half, self.n_filters);
        let conv = |inputs, outputs| DataInitConvConfig::new(inputs, outputs).with_weight(self.weight).count();
        let positions = self.mixing.map_or(0, |_| product([f, h, w]));
        let blocks = product([self.n_blocks, self.block().count()]);
        sum([conv(c, f), positions, blocks, conv(self.width(), product([self.n_params, c]))])
    }

    /// Channels that the last convolution takes.
    fn width(&self) -> usize {
        match self.output_activation {
            OutputActivation::None => self.n_filters,
            OutputActivation::ConcatElu => product([2, self.n_filters]),
        }
    }

    fn block(&self) -> GatedBlockConfig {
        GatedBlockConfig::new(self.n_filters)
            .with_n_context(self.n_context)
            .with_mixing(self.mixing)
            .with_dropout(self.dropout)
            .with_start(self.start)
            .with_gate_init(self.gate_init)
            .with_weight(self.weight)
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
        let conv = |inputs, outputs, start| {
            DataInitConvConfig::new(inputs, outputs).with_start(start).with_weight(self.weight).init(device)
        };
        GatedNet {
            input: conv(c, f, self.start),
            positions: self.mixing.map(|_| parameter::normal([1, f, h, w], 0.01, device)),
            blocks: (0..self.n_blocks).map(|_| self.block().init(device)).collect(),
            output: conv(self.width(), self.n_params * c, self.output_init),
            half: self.half,
            output_activation: self.output_activation,
        }
    }
}

/// The network of Flow++'s couplings. The formulas head this module.
#[derive(Module, Debug)]
pub struct GatedNet {
    /// 3x3, `C -> F`.
    pub input: DataInitConv,
    /// Positions `p`, `[1, F, H, W]`; `None` without mixing.
    pub positions: Option<Param<Tensor<4>>>,
    /// The blocks, first to last.
    pub blocks: Vec<GatedBlock>,
    /// 3x3, `F` or `2F -> params·C`.
    pub output: DataInitConv,
    #[module(skip)]
    half: [usize; 3],
    #[module(skip)]
    output_activation: OutputActivation,
}

impl GatedNet {
    fn activate(&self, h: Tensor<4>) -> Tensor<4> {
        match self.output_activation {
            OutputActivation::None => h,
            OutputActivation::ConcatElu => concat_elu(h),
        }
    }

    fn run(&self, kept: Tensor<4>, context: Option<Tensor<4>>) -> Tensor<3> {
        let c = kept.dims()[1];
        let (dtype, own) = (kept.dtype(), dtype::of(&self.input.conv.weight));
        let (kept, context) = (cast(kept, own), context.map(|context| cast(context, own)));
        let positions = self.positions.as_ref().map(Param::val);
        let h = self.input.forward(kept);
        let h = self.blocks.iter().fold(h, |h, block| block.forward(h, positions.as_ref(), context.as_ref()));
        cast(theta(self.output.forward(self.activate(h)), c), dtype)
    }

    fn start(self, kept: Tensor<4>, context: Option<&Tensor<4>>) -> (Self, Tensor<3>) {
        let c = kept.dims()[1];
        let positions = self.positions.as_ref().map(Param::val);
        let mut net = self;
        let (input, mut h) = net.input.initialize(kept);
        net.input = input;
        let mut blocks = Vec::with_capacity(net.blocks.len());
        for block in net.blocks {
            let (block, y) = block.initialize(h, positions.as_ref(), context);
            blocks.push(block);
            h = y;
        }
        net.blocks = blocks;
        let h = net.activate(h);
        let (output, y) = net.output.initialize(h);
        net.output = output;
        (net, theta(y, c))
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

impl ThetaInit for GatedNet {
    /// The last convolution starts at random, as in the paper, so the components of a law already differ. It keeps that
    /// start, unless it is [`ConvInit::Zero`].
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
        let mut net = self;
        let widths = net.widths();
        if !net.output.inits_at_zero() {
            check_n_params("GatedNet", widths.params, law)?;
            return Ok(net);
        }
        let conv = &mut net.output.conv;
        let last = LastLayer { network: "GatedNet", widths: &widths, own: &None, weight: &conv.weight };
        conv.bias = conv.bias.take().map(|bias| last.init_at(bias, law)).transpose()?;
        Ok(net)
    }
}

impl NetShape<4> for GatedNet {
    fn check(&self, kept: [usize; 4], other: [usize; 4], n_params: usize) -> Result<(), ShapeError> {
        self.widths().check("GatedNet", kept, other, n_params)?;
        let [_, h, w] = self.half;
        for (axis, expected) in [(2, h), (3, w)] {
            for shape in [kept, other] {
                if shape[axis] != expected {
                    return Err(ShapeError::Axis { layer: "GatedNet", axis, expected, shape: shape.to_vec() });
                }
            }
        }
        Ok(())
    }
}

impl<C: MapContext> Conditioner<4, C> for GatedNet {
    fn forward(&self, kept: Tensor<4>, context: &C) -> Tensor<3> {
        check_shape(Conditioner::<4, C>::check_context(self, kept.dims(), context));
        self.run(kept, context.map())
    }

    fn check_context(&self, kept: [usize; 4], context: &C) -> Result<(), ShapeError> {
        self.widths().check_context("GatedNet", kept, &context.maps())
    }

    fn initialize(self, kept: Tensor<4>, context: &C) -> (Self, Tensor<3>) {
        check_shape(Conditioner::<4, C>::check_context(&self, kept.dims(), context));
        self.start(kept, context.map().as_ref())
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.widths().check_given("GatedNet", C::N_PARTS)
    }
}
