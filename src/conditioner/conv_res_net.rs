//! Residual convolutional network for images.
//! ```text
//! h = conv3x3(identity)                                  F channels
//! blocks times   r = conv3x3(φ(norm(h)))  [+ conv1x1(context)]
//!                h = h + conv3x3(drop(φ(norm(r))))
//! theta = conv3x3(φ(norm(h)))                            params·transformed channels, ordered by
//!                                                        parameter, then by channel
//! ```
//! Every norm is a [`ChannelNorm`]. The image may be of any size. Conditions are feature maps
//! `[B, A, H, W]`, vectors `[B, A]`, which apply at all positions, and pairs of them.
//!
//! # Initialisation
//! The last convolution has weights of 0 and the law's initial parameters as bias
//! ([`NetSite::theta_init`]). All others are uniform within `±1/√fan_in`, without data.
//!
//! # Reference
//! Dinh et al. 2017 §4.1 and its code. Difference: they use batch norms and normalised weights. A
//! norm over the channels of a position couples no examples and needs no statistics, so densities
//! do not depend on the batch.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::Tensor;

use super::layer::{ChannelNorm, ChannelNormConfig, ConvInit, DataInitConv, DataInitConvConfig};
use super::net::theta;
use super::{Activation, Net, NetConfig, NetSite};
use crate::error::ConfigError;
use crate::tensor::limit::{MOST_REPEATS, MOST_SIZE, product, sum};

config! {
    /// Configuration of [`ConvResNet`].
    #[derive(Debug)]
    pub struct ConvResNetConfig {
        /// Number of filters `F`, at least 2: the norm of a single channel is a constant.
        pub n_filters: usize = 64,
        /// Number of blocks. A network with a condition needs at least one, since the condition
        /// enters through the blocks.
        pub n_blocks: usize = 4,
        /// Nonlinearity.
        pub activation: Activation = Activation::Relu,
        /// Probability that an activation is dropped in training.
        pub dropout: f64 = 0.0,
    }
}

impl NetConfig<4> for ConvResNetConfig {
    type Net = ConvResNet;
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<4>) -> Result<ConvResNet, ConfigError> {
        self.num_params(site)?;
        let (f, device) = (self.n_filters, site.device());
        let conv = |inputs: usize, outputs: usize, kernel: usize, init: ConvInit| {
            DataInitConvConfig::new(inputs, outputs)
                .with_kernel(kernel)
                .with_init(init)
                .build(device)
        };
        let norm = || ChannelNormConfig::new(f).build(device);
        let context = |width| conv(width, f, 1, ConvInit::FanIn);
        let block = |_| {
            Ok(ConvResBlock {
                first_norm: norm()?,
                first: conv(f, f, 3, ConvInit::FanIn)?,
                context: site.context_width().map(context).transpose()?,
                second_norm: norm()?,
                second: conv(f, f, 3, ConvInit::FanIn)?,
                dropout: DropoutConfig::new(self.dropout).init(),
            })
        };
        let mut output = conv(f, site.n_outputs(), 3, ConvInit::Zero)?;
        output.conv.bias = Some(site.bias());
        Ok(ConvResNet {
            input: conv(site.identity()[1], f, 3, ConvInit::FanIn)?,
            blocks: (0..self.n_blocks).map(block).collect::<Result<_, ConfigError>>()?,
            norm: norm()?,
            output,
            activation: self.activation,
            n_params: site.n_params(),
        })
    }

    fn num_params(&self, site: &NetSite<4>) -> Result<usize, ConfigError> {
        const NAME: &str = "ConvResNetConfig";
        site.validate(NAME)?;
        if self.n_filters < 2 {
            let (field, range, found) = ("n_filters", "[2, ∞)", self.n_filters as f64);
            return Err(ConfigError::OutOfRange { config: NAME, field, range, found });
        }
        ConfigError::at_most(NAME, "n_filters", self.n_filters, MOST_SIZE)?;
        ConfigError::at_most(NAME, "n_blocks", self.n_blocks, MOST_REPEATS)?;
        if site.context_width().is_some() {
            ConfigError::positive(NAME, "n_blocks", self.n_blocks)?;
        }
        ConfigError::dropout(NAME, self.dropout)?;
        let [identity, transformed, params, context] = site.sizes();
        let own = [("n_filters", self.n_filters), ("n_blocks", self.n_blocks)];
        let sizes = [own[0], own[1], identity, transformed, params, context];
        let total = ConfigError::parameters(NAME, self.count(site), sizes)?;
        ConfigError::at_most(NAME, "n_params·transformed", site.n_outputs(), MOST_SIZE)?;
        Ok(total)
    }
}

impl ConvResNetConfig {
    /// The number of parameters; `usize::MAX` where it is larger.
    fn count(&self, site: &NetSite<4>) -> usize {
        let f = self.n_filters;
        let conv = |inputs, outputs, kernel| {
            DataInitConvConfig::new(inputs, outputs).with_kernel(kernel).count()
        };
        let norm = product([2, f]);
        let context = site.context_width().map_or(0, |width| conv(width, f, 1));
        let block = sum([norm, conv(f, f, 3), context, norm, conv(f, f, 3)]);
        let ends = sum([conv(site.identity()[1], f, 3), norm, conv(f, site.n_outputs(), 3)]);
        sum([ends, product([self.n_blocks, block])])
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
    /// 3x3, `identity -> F`.
    pub input: DataInitConv,
    /// The blocks, first to last.
    pub blocks: Vec<ConvResBlock>,
    /// Norm before the last convolution.
    pub norm: ChannelNorm,
    /// 3x3, `F -> params·transformed`.
    pub output: DataInitConv,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    n_params: usize,
}

impl ConvResNet {
    fn block(&self, h: Tensor<4>, block: &ConvResBlock, context: Option<&Tensor<4>>) -> Tensor<4> {
        let r = block.first.forward(self.activation.forward(block.first_norm.forward(h.clone())));
        let r = match (&block.context, context) {
            (Some(layer), Some(context)) => r + layer.forward(context.clone()),
            // No other pair is possible: a network gets a condition exactly if its site has one.
            _ => r,
        };
        let r = self.activation.forward(block.second_norm.forward(r));
        h + block.second.forward(block.dropout.forward(r))
    }
}

impl Net<4> for ConvResNet {
    fn forward(&self, identity: Tensor<4>, context: Option<Tensor<4>>) -> Tensor<3> {
        let h = self.input.forward(identity);
        let h = self.blocks.iter().fold(h, |h, block| self.block(h, block, context.as_ref()));
        theta(self.output.forward(self.activation.forward(self.norm.forward(h))), self.n_params)
    }
}
