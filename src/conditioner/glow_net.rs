//! The network of Glow's couplings.
//! ```text
//! h = relu(norm(conv3x3(identity)))                       F channels, with the border, no bias
//! h = relu(norm(conv1x1(h)))                              F channels, no bias
//! theta = zero_conv(h)                                    params·C channels
//! ```
//! `norm` is an [`ActNorm`] with factor 3. Its scale is multiplied into the weights, or into the
//! outputs where a GPU writes them, so normalising needs no further pass. `border` is a border
//! channel: 1 around the image and 0 inside. Weights are initialised from `N(0, 0.05²)`, norms from
//! data, and the last layer, a [`ZeroConv`], to the law's initial parameters. The paper does not
//! mention the norms; the released code has them.
//!
//! Output channel `j·C + c` is parameter `j` of channel `c`. The released code interleaves them
//! with the shift first: its channel `2c` is our `C + c`, and its `2c + 1` is our `c`.
//!
//! The network ignores a condition: in Glow a class affects the prior only.
//!
//! # Reference
//! Kingma & Dhariwal 2018 §3.3; layers and initialisation of the released code.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::layer::zero_linear::LOG_SCALE_FACTOR;
use super::net::theta;
use super::zero_conv::{self, scaled};
use super::{Net, NetConfig, NetSite, ZeroConv, ZeroConvConfig};
use crate::bijector::{Bijector, LayerConfig, Site};
use crate::error::ConfigError;
use crate::kernel::conv2d::{self, Border, ConvStages};
use crate::kernel::epilogue::Epilogue;
use crate::linear::{ActNorm, ActNormConfig};
use crate::tensor::limit::{product, sum};
use crate::tensor::parameter;

config! {
    /// Configuration of [`GlowNet`].
    #[derive(Debug)]
    pub struct GlowNetConfig {
        /// Number of filters `F`.
        pub n_filters: usize = 512,
    }
}

impl NetConfig<4> for GlowNetConfig {
    type Net = GlowNet;
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<4>) -> Result<GlowNet, ConfigError> {
        NetConfig::num_params(self, site)?;
        let (f, device) = (self.n_filters, site.device());
        Ok(GlowNet {
            input: NormedConv::new([f, site.identity()[1] + 1, 3, 3], device)?,
            inner: NormedConv::new([f, f, 1, 1], device)?,
            output: ZeroConvConfig::new().build(&site.reading(f))?,
            n_params: site.n_params(),
        })
    }

    fn num_params(&self, site: &NetSite<4>) -> Result<usize, ConfigError> {
        const NAME: &str = "GlowNetConfig";
        site.validate(NAME)?;
        ConfigError::positive(NAME, "n_filters", self.n_filters)?;
        let [identity, transformed, params, _] = site.sizes();
        let sizes = [("n_filters", self.n_filters), identity, transformed, params];
        ConfigError::parameters(NAME, self.count(site), sizes)
    }
}

impl GlowNetConfig {
    /// The number of parameters; `usize::MAX` where it is larger.
    fn count(&self, site: &NetSite<4>) -> usize {
        let f = self.n_filters;
        let norm = product([2, f]);
        let input = sum([product([f, sum([site.identity()[1], 1]), 9]), norm]);
        sum([input, product([f, f]), norm, zero_conv::count(f, site.n_outputs())])
    }
}

/// Convolution without bias, an [`ActNorm`] and a ReLU.
#[derive(Module, Debug)]
pub struct NormedConv {
    /// Weights, `[out, in + 1, 3, 3]` with the border as last input, or `[out, in, 1, 1]`.
    pub weight: Param<Tensor<4>>,
    /// Norm of the output.
    pub norm: ActNorm<4>,
}

impl NormedConv {
    fn new(shape: [usize; 4], device: &Device) -> Result<Self, ConfigError> {
        // 0.05, as in the released code.
        let weight = parameter::normal(shape, 0.05, device);
        let norm = ActNormConfig::new().with_log_scale_factor(LOG_SCALE_FACTOR);
        let norm = norm.build(&Site::new([1, shape[0], 1, 1], device))?;
        Ok(Self { weight, norm })
    }

    fn stages(&self, epilogue: Epilogue) -> ConvStages {
        let border = match self.weight.lazy_shape()[2] {
            3 => Border::Channel,
            _ => Border::Zeros,
        };
        ConvStages { border, epilogue, ..ConvStages::PLAIN }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let outputs = self.weight.lazy_shape()[0];
        let [bias, log_scale] =
            [&self.norm.bias, &self.norm.log_scale].map(|of| of.val().reshape([outputs]));
        let scales = (log_scale, LOG_SCALE_FACTOR);
        scaled(x, &self.weight, bias, scales, self.stages(Epilogue::Relu))
    }

    fn initialize(self, x: Tensor<4>) -> (Self, Tensor<4>) {
        let y = conv2d::forward(x, self.weight.val(), None, self.stages(Epilogue::Nothing));
        let (norm, y) = Bijector::<4>::initialize(self.norm, y.detach(), &());
        (Self { weight: self.weight, norm }, relu(y))
    }
}

/// The network of Glow's couplings. The formulas head this module.
#[derive(Module, Debug)]
pub struct GlowNet {
    /// 3x3, `C + 1 -> F`.
    pub input: NormedConv,
    /// 1x1, `F -> F`.
    pub inner: NormedConv,
    /// 3x3, `F + 1 -> params·C`.
    pub output: ZeroConv,
    #[module(skip)]
    n_params: usize,
}

impl Net<4> for GlowNet {
    fn forward(&self, identity: Tensor<4>, _: Option<Tensor<4>>) -> Tensor<3> {
        theta(self.output.convolve(self.inner.forward(self.input.forward(identity))), self.n_params)
    }

    fn initialize(self, identity: Tensor<4>, _: Option<Tensor<4>>) -> (Self, Tensor<3>) {
        let (input, h) = self.input.initialize(identity);
        let (inner, h) = self.inner.initialize(h);
        let theta = theta(self.output.convolve(h), self.n_params).detach();
        (Self { input, inner, ..self }, theta)
    }

    fn reads_context(&self) -> bool {
        false
    }
}
