//! Residual convolutional network for images.
//! ```text
//! h = conv3x3(kept)                                         F channels
//! blocks times   r = conv3x3(φ(norm(h)))  [+ conv1x1(context)]
//!                h = h + conv3x3(drop(φ(norm(r))))
//! theta = conv3x3(φ(norm(h)))                               params·n_other channels, ordered by parameter, then by channel
//! ```
//! Every norm is a [`ChannelNorm`]. The image may be of any size. Conditions are feature maps `[B, A, H, W]`, vectors `[B, A]`, which hold at
//! all positions, and pairs of them.
//!
//! # Start
//! The last convolution has weights of 0 and the law's start as bias ([`ThetaInit`]); all others start uniform within
//! `±1/√fan_in`, without data.
//!
//! # Reference
//! Dinh et al. 2017 §4.1 and its code. Differs: their norms are of batches and their weights are normalised; a norm over the channels of a
//! position couples no examples and needs no statistics, so that densities do not depend on the batch.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};

use super::theta_init::{self, LastLayer};
use super::widths::Widths;
use super::{
    Activation, ChannelNorm, ChannelNormConfig, Conditioner, ConvInit, DataInitConv, DataInitConvConfig, NetShape,
    ThetaInit,
};
use crate::context::MapContext;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::Law;
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::{MOST_REPEATS, MOST_SIZE, product, sum};

/// Configuration of [`ConvResNet`].
#[derive(Config, Debug)]
pub struct ConvResNetConfig {
    /// Channels of the kept half.
    pub n_kept: usize,
    /// Channels of the half that changes.
    pub n_other: usize,
    /// Parameters of the law for each number.
    pub n_params: usize,
    /// Filters `F`, at least 2: the norm of a single channel is a constant.
    #[config(default = 64)]
    pub n_filters: usize,
    /// Blocks.
    #[config(default = 4)]
    pub n_blocks: usize,
    /// Nonlinearity.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Channels or width of the condition; `None`: no condition. Needs a block, through which it enters.
    pub n_context: Option<usize>,
    /// Probability that an activation is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Start of the law's parameters: one value for each parameter, the same for every element. `None`: the layer sets
    /// the law's own start ([`crate::law::Law::theta_init`]); without a layer they start at 0.
    pub theta_init: Option<Vec<f64>>,
}

impl ConvResNetConfig {
    /// Whether the configuration describes a network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Parameters of the network, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        const NAME: &str = "ConvResNetConfig";
        self.widths().validate_channels(NAME)?;
        theta_init::validate(NAME, &self.theta_init, self.n_params)?;
        if self.n_filters < 2 {
            let (field, range, found) = ("n_filters", "[2, ∞)", self.n_filters as f64);
            return Err(ConfigError::OutOfRange { config: NAME, field, range, found });
        }
        ConfigError::at_most(NAME, "n_filters", self.n_filters, MOST_SIZE)?;
        ConfigError::at_most(NAME, "n_blocks", self.n_blocks, MOST_REPEATS)?;
        if self.n_context.is_some() {
            ConfigError::positive(NAME, "n_blocks", self.n_blocks)?;
        }
        ConfigError::dropout(NAME, self.dropout)?;
        let [kept, other, params, context] = [self.n_kept, self.n_other, self.n_params, self.widths().d_context()];
        let sizes = [
            ("n_filters", self.n_filters),
            ("n_blocks", self.n_blocks),
            ("n_kept", kept),
            ("n_other", other),
            ("n_params", params),
            ("n_context", context),
        ];
        let total = ConfigError::parameters(NAME, self.count(), sizes)?;
        ConfigError::at_most(NAME, "n_params·n_other", self.widths().outputs(), MOST_SIZE)?;
        Ok(total)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let (widths, f) = (self.widths(), self.n_filters);
        let conv = |inputs, outputs, kernel| DataInitConvConfig::new(inputs, outputs).with_kernel(kernel).count();
        let norm = product([2, f]);
        let context = self.n_context.map_or(0, |width| conv(width, f, 1));
        let block = sum([norm, conv(f, f, 3), context, norm, conv(f, f, 3)]);
        let ends = sum([conv(widths.kept, f, 3), norm, conv(f, widths.outputs(), 3)]);
        sum([ends, product([self.n_blocks, block])])
    }

    fn widths(&self) -> Widths {
        Widths { kept: self.n_kept, other: self.n_other, params: self.n_params, context: self.n_context }
    }

    /// The network.
    ///
    /// # Panics
    /// If [`ConvResNetConfig::validate`] is an error.
    pub fn init(&self, device: &Device) -> ConvResNet {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let (widths, f) = (self.widths(), self.n_filters);
        let conv = |inputs: usize, outputs: usize, kernel: usize, start: ConvInit| {
            DataInitConvConfig::new(inputs, outputs).with_kernel(kernel).with_start(start).init(device)
        };
        let norm = || ChannelNormConfig::new(f).init(device);
        let block = |_| ConvResBlock {
            first_norm: norm(),
            first: conv(f, f, 3, ConvInit::FanIn),
            context: self.n_context.map(|width| conv(width, f, 1, ConvInit::FanIn)),
            second_norm: norm(),
            second: conv(f, f, 3, ConvInit::FanIn),
            dropout: DropoutConfig::new(self.dropout).init(),
        };
        let mut output = conv(f, widths.params * widths.other, 3, ConvInit::Zero);
        output.conv.bias = Some(theta_init::bias(&self.theta_init, widths.params, widths.other, device));
        ConvResNet {
            input: conv(widths.kept, f, 3, ConvInit::FanIn),
            blocks: (0..self.n_blocks).map(block).collect(),
            norm: norm(),
            output,
            activation: self.activation,
            widths,
            theta_init: self.theta_init.clone(),
        }
    }
}

/// One block of a [`ConvResNet`].
#[derive(Module, Debug)]
pub struct ConvResBlock {
    /// Norm before the first convolution.
    pub first_norm: ChannelNorm,
    /// 3x3, `F -> F`.
    pub first: DataInitConv,
    /// 1x1 on the condition, `A -> F`.
    pub context: Option<DataInitConv>,
    /// Norm before the second convolution.
    pub second_norm: ChannelNorm,
    /// 3x3, `F -> F`.
    pub second: DataInitConv,
    dropout: Dropout,
}

/// Residual convolutional network. The formulas head this module.
#[derive(Module, Debug)]
pub struct ConvResNet {
    /// 3x3, `n_kept -> F`.
    pub input: DataInitConv,
    /// The blocks, first to last.
    pub blocks: Vec<ConvResBlock>,
    /// Norm before the last convolution.
    pub norm: ChannelNorm,
    /// 3x3, `F -> params·n_other`.
    pub output: DataInitConv,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    widths: Widths,
    #[module(skip)]
    theta_init: Option<Vec<f64>>,
}

impl ConvResNet {
    fn block(&self, h: Tensor<4>, block: &ConvResBlock, context: Option<&Tensor<4>>) -> Tensor<4> {
        let r = block.first.forward(self.activation.forward(block.first_norm.forward(h.clone())));
        let r = match (&block.context, context) {
            (Some(layer), Some(context)) => r + layer.forward(context.clone()),
            // `check_context` lets no other pair through than one without both.
            _ => r,
        };
        let r = self.activation.forward(block.second_norm.forward(r));
        h + block.second.forward(block.dropout.forward(r))
    }
}

impl ThetaInit for ConvResNet {
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
        let mut net = self;
        let (widths, own, weight) = (&net.widths, &net.theta_init, &net.output.conv.weight);
        let last = LastLayer { network: "ConvResNet", widths, own, weight };
        net.output.conv.bias = net.output.conv.bias.take().map(|bias| last.init_at(bias, law)).transpose()?;
        Ok(net)
    }
}

impl NetShape<4> for ConvResNet {
    fn check(&self, kept: [usize; 4], other: [usize; 4], n_params: usize) -> Result<(), ShapeError> {
        self.widths.check("ConvResNet", kept, other, n_params)
    }
}

impl<C: MapContext> Conditioner<4, C> for ConvResNet {
    fn forward(&self, kept: Tensor<4>, context: &C) -> Tensor<3> {
        check_shape(Conditioner::<4, C>::check_context(self, kept.dims(), context));
        let (dtype, own) = (kept.dtype(), dtype::of(&self.input.conv.weight));
        let context = context.map().map(|context| cast(context, own));
        let h = self.input.forward(cast(kept, own));
        let h = self.blocks.iter().fold(h, |h, block| self.block(h, block, context.as_ref()));
        cast(self.widths.theta(self.output.forward(self.activation.forward(self.norm.forward(h)))), dtype)
    }

    fn check_context(&self, kept: [usize; 4], context: &C) -> Result<(), ShapeError> {
        self.widths.check_context("ConvResNet", kept, &context.maps())
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.widths.check_given("ConvResNet", C::N_PARTS)
    }
}
