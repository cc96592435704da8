//! The network of Flow++'s couplings: gated convolutions and gated self-attention.
//! ```text
//! h = conv3x3(identity)                               F channels
//! blocks times   h = norm(gated_conv(h, celu(context)));  h = norm(gated_attention(h, p))
//! h = celu(h)                                         2F channels; OutputActivation::None omits it
//! theta = conv3x3(h)                                  params·C channels, initialised to deviation
//!                                                     0.1, for every law
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `p` | positional embedding, shared by all blocks; none without mixing | `[1, F, H, W]`, from N(0, 0.01²) | yes |
//!
//! Output channel `j·C + c` is parameter `j` of channel `c`, so theta is a reshape. The released
//! code orders them `c·params + j`.
//!
//! Conditions are feature maps `[B, A, H, W]`, vectors `[B, A]`, which apply at all positions, and
//! pairs of them. Data-dependent initialisation divides by the deviation of the condition's
//! contribution. Its batch must therefore contain different conditions; otherwise unseen ones are
//! amplified ten thousandfold.
//!
//! # Reference
//! Ho et al. 2019 §3.3; layers and initialisation of the released code. Difference: networks
//! without mixing have no `p`; the code makes one and does not use it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::layer::{ConvInit, DataInitConv, GatedBlock, GatedBlockConfig, concat_elu};
use super::net::theta;
use super::{ConvStyle, Mixing, Net, NetConfig, NetSite};
use crate::error::{ConfigError, ShapeError};
use crate::tensor::limit::{MOST_REPEATS, MOST_SIZE, product, sum};
use crate::tensor::parameter;

/// The activation that precedes the last convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputActivation {
    /// Nothing (the CIFAR-10 model).
    None,
    /// [`concat_elu`], so that the convolution has `2F` inputs (the ImageNet and CelebA models).
    ConcatElu,
}

config! {
    /// Configuration of [`GatedNet`].
    #[derive(Debug)]
    pub struct GatedNetConfig {
        /// Number of filters `F`.
        pub n_filters: usize,
        /// Number of blocks. A network with a condition needs at least one, since the condition
        /// enters through the blocks.
        pub n_blocks: usize,
        /// How positions are mixed. `None`: not at all; the blocks have convolutions only.
        pub mixing: Option<Mixing> = Some(Mixing::Attention { heads: 4 }),
        /// The activation that precedes the last convolution.
        pub output_activation: OutputActivation = OutputActivation::None,
        /// Dropout, initialisation and weights of the convolutions.
        pub style: ConvStyle = ConvStyle::default(),
    }
}

impl NetConfig<4> for GatedNetConfig {
    type Net = GatedNet;
    /// The initial output is random, as in the paper, or, with [`ConvInit::Zero`], the initial
    /// parameters of the site.
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<4>) -> Result<GatedNet, ConfigError> {
        self.num_params(site)?;
        let ([_, c, h, w], f, device) = (site.identity(), self.n_filters, site.device());
        let conv = |inputs, outputs, init| self.style.conv(inputs, outputs, 3, init).build(device);
        let input = conv(c, f, self.style.inner)?;
        let positions = self.mixing.map(|_| parameter::normal([1, f, h, w], 0.01, device));
        let block = self.block(site);
        let blocks = (0..self.n_blocks).map(|_| block.build(device)).collect::<Result<_, _>>()?;
        let mut output = conv(self.width(), site.n_outputs(), self.style.output)?;
        if self.style.output == ConvInit::Zero {
            output.conv.bias = Some(site.bias());
        }
        let (output_activation, n_params) = (self.output_activation, site.n_params());
        Ok(GatedNet { input, positions, blocks, output, size: [h, w], output_activation, n_params })
    }

    fn num_params(&self, site: &NetSite<4>) -> Result<usize, ConfigError> {
        const NAME: &str = "GatedNetConfig";
        site.validate(NAME)?;
        if site.context_width().is_some() {
            ConfigError::positive(NAME, "n_blocks", self.n_blocks)?;
        }
        ConfigError::positive(NAME, "n_filters", self.n_filters)?;
        ConfigError::at_most(NAME, "n_blocks", self.n_blocks, MOST_REPEATS)?;
        let [_, _, h, w] = site.identity();
        let [identity, transformed, params, context] = site.sizes();
        let sizes = [
            identity,
            ("height", h),
            ("width", w),
            transformed,
            params,
            ("n_filters", self.n_filters),
            ("n_blocks", self.n_blocks),
            context,
        ];
        let total = ConfigError::parameters(NAME, self.count(site), sizes)?;
        ConfigError::at_most(NAME, "n_params·transformed", site.n_outputs(), MOST_SIZE)?;
        self.style.output.validate(NAME, self.style.weight)?;
        self.block(site).validate()?;
        Ok(total)
    }
}

impl GatedNetConfig {
    /// The number of parameters; `usize::MAX` where it is larger.
    fn count(&self, site: &NetSite<4>) -> usize {
        let ([_, c, h, w], f) = (site.identity(), self.n_filters);
        let conv = |inputs, outputs| self.style.conv(inputs, outputs, 3, self.style.inner).count();
        let positions = self.mixing.map_or(0, |_| product([f, h, w]));
        let blocks = product([self.n_blocks, self.block(site).count()]);
        sum([conv(c, f), positions, blocks, conv(self.width(), site.n_outputs())])
    }

    /// Number of input channels of the last convolution.
    fn width(&self) -> usize {
        match self.output_activation {
            OutputActivation::None => self.n_filters,
            OutputActivation::ConcatElu => product([2, self.n_filters]),
        }
    }

    fn block(&self, site: &NetSite<4>) -> GatedBlockConfig {
        GatedBlockConfig::new(self.n_filters)
            .with_n_context(site.context_width())
            .with_mixing(self.mixing)
            .with_style(self.style)
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
    size: [usize; 2],
    #[module(skip)]
    output_activation: OutputActivation,
    #[module(skip)]
    n_params: usize,
}

impl GatedNet {
    fn activate(&self, h: Tensor<4>) -> Tensor<4> {
        match self.output_activation {
            OutputActivation::None => h,
            OutputActivation::ConcatElu => concat_elu(h),
        }
    }
}

impl Net<4> for GatedNet {
    fn forward(&self, identity: Tensor<4>, context: Option<Tensor<4>>) -> Tensor<3> {
        let positions = self.positions.as_ref().map(Param::val);
        let context = context.map(concat_elu);
        let h = self.input.forward(identity);
        let h = self
            .blocks
            .iter()
            .fold(h, |h, block| block.forward(h, positions.as_ref(), context.as_ref()));
        theta(self.output.forward(self.activate(h)), self.n_params)
    }

    fn initialize(self, identity: Tensor<4>, context: Option<Tensor<4>>) -> (Self, Tensor<3>) {
        let positions = self.positions.as_ref().map(Param::val);
        let context = context.map(concat_elu);
        let mut net = self;
        let (input, mut h) = net.input.initialize(identity);
        net.input = input;
        let mut blocks = Vec::with_capacity(net.blocks.len());
        for block in net.blocks {
            let (block, y) = block.initialize(h, positions.as_ref(), context.as_ref());
            blocks.push(block);
            h = y;
        }
        net.blocks = blocks;
        let h = net.activate(h);
        let (output, y) = net.output.initialize(h);
        net.output = output;
        let theta = theta(y, net.n_params);
        (net, theta)
    }

    /// The images must have the size of the site, which the positional embedding has.
    fn check(&self, identity: [usize; 4]) -> Result<(), ShapeError> {
        for (axis, expected) in [(2, self.size[0]), (3, self.size[1])] {
            if identity[axis] != expected {
                return Err(ShapeError::Axis {
                    layer: "GatedNet",
                    axis,
                    expected,
                    shape: identity.to_vec(),
                });
            }
        }
        Ok(())
    }
}
