//! The network of Glow's couplings.
//! ```text
//! h = relu(norm(conv3x3(kept)))                           F channels, with the border, no bias
//! h = relu(norm(conv1x1(h)))                              F channels, no bias
//! theta = zero_conv(h)                                    params·C channels
//! ```
//! `norm` is an [`ActNorm`] with factor 3, whose scale is multiplied into the weights: the output then needs no pass of
//! its own. `border` is a border channel: 1 around the image and 0 inside. Weights start from `N(0, 0.05²)`, norms from
//! data, and the last layer, a [`ZeroConv`], at the law's start. Paper and code differ in that the paper does not
//! mention the norms.
//!
//! Output channel `j·C + c` is parameter `j` of channel `c`. The released code interleaves them with the shift first: of ours, its channel
//! `2c` is `C + c` and its `2c + 1` is `c`.
//!
//! A [`Conditioner`] under every condition, which it ignores: in Glow a class acts on the prior alone.
//!
//! # Reference
//! Kingma & Dhariwal 2018 §3.3; layers and starts of the released code.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::layer::zero_linear::LOG_SCALE_FACTOR;
use super::widths::Widths;
use super::zero_conv::scaled;
use super::{Conditioner, NetShape, ThetaInit, ZeroConv, ZeroConvConfig, theta_init};
use crate::bijector::Bijector;
use crate::bijector::site::built;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};
use crate::kernel::conv2d::{self, Border, ConvStages};
use crate::kernel::epilogue::Epilogue;
use crate::law::Law;
use crate::linear::{ActNorm, ActNormConfig};
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::{product, sum};
use crate::tensor::parameter;

/// Configuration of [`GlowNet`].
#[derive(Config, Debug)]
pub struct GlowNetConfig {
    /// Channels of the kept half.
    pub n_kept: usize,
    /// Channels of the half that changes.
    pub n_other: usize,
    /// Parameters of the law for each number of it.
    pub n_params: usize,
    /// Filters `F`.
    #[config(default = 512)]
    pub n_filters: usize,
    /// Start of the law's parameters: one value for each parameter, the same for every element. `None`: the layer sets
    /// the law's own start ([`crate::law::Law::theta_init`]); without a layer they start at 0.
    pub theta_init: Option<Vec<f64>>,
}

impl GlowNetConfig {
    /// Whether the configuration describes a network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Parameters of the network, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        self.widths().validate_channels("GlowNetConfig")?;
        theta_init::validate("GlowNetConfig", &self.theta_init, self.n_params)?;
        ConfigError::positive("GlowNetConfig", "n_filters", self.n_filters)?;
        let sizes = [
            ("n_filters", self.n_filters),
            ("n_kept", self.n_kept),
            ("n_other", self.n_other),
            ("n_params", self.n_params),
        ];
        ConfigError::parameters("GlowNetConfig", self.count(), sizes)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let f = self.n_filters;
        let norm = product([2, f]);
        let input = sum([product([f, sum([self.n_kept, 1]), 9]), norm]);
        sum([input, product([f, f]), norm, self.output().count()])
    }

    fn widths(&self) -> Widths {
        Widths { kept: self.n_kept, other: self.n_other, params: self.n_params, context: None }
    }

    fn output(&self) -> ZeroConvConfig {
        ZeroConvConfig::new(self.n_filters, self.n_other, self.n_params).with_theta_init(self.theta_init.clone())
    }

    /// The network.
    ///
    /// # Panics
    /// If [`GlowNetConfig::validate`] is an error.
    pub fn init(&self, device: &Device) -> GlowNet {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let f = self.n_filters;
        GlowNet {
            input: NormedConv::new([f, self.n_kept + 1, 3, 3], device),
            inner: NormedConv::new([f, f, 1, 1], device),
            output: self.output().init(device),
            widths: self.widths(),
        }
    }
}

/// Convolution without bias, an [`ActNorm`] and a ReLU.
#[derive(Module, Debug)]
pub struct NormedConv {
    /// Weights, `[out, in + 1, 3, 3]` with the ring as last input, or `[out, in, 1, 1]`.
    pub weight: Param<Tensor<4>>,
    /// Norm of the output.
    pub norm: ActNorm<4>,
}

impl NormedConv {
    fn new(shape: [usize; 4], device: &Device) -> Self {
        // 0.05: the released code's.
        let weight = parameter::normal(shape, 0.05, device);
        let norm = ActNormConfig::new().with_log_scale_factor(LOG_SCALE_FACTOR);
        let norm = built(&norm, [1, shape[0], 1, 1], device);
        Self { weight, norm }
    }

    fn conv(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, epilogue: Epilogue) -> Tensor<4> {
        let border = if weight.dims()[2] == 3 { Border::Channel } else { Border::Zeros };
        conv2d::forward(x, weight, bias, ConvStages { border, epilogue, ..ConvStages::PLAIN })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let outputs = self.weight.lazy_shape()[0];
        let scale = self.norm.effective_log_scale().exp();
        // (W·x + b)·e^s = (e^s W)·x + e^s b
        let bias = (self.norm.bias.val() * scale.clone()).reshape([outputs]);
        let weight = scaled(cast(self.weight.val(), scale.dtype()), scale.reshape([outputs]));
        let dtype = x.dtype();
        Self::conv(x, cast(weight, dtype), Some(cast(bias, dtype)), Epilogue::Relu)
    }

    fn initialize(self, x: Tensor<4>) -> (Self, Tensor<4>) {
        let y = Self::conv(x, self.weight.val(), None, Epilogue::Nothing).detach();
        let (norm, y) = Bijector::<4>::initialize(self.norm, y, &());
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
    widths: Widths,
}

impl ThetaInit for GlowNet {
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
        let output = self.output.start_within("GlowNet", law)?;
        Ok(Self { output, ..self })
    }
}

impl NetShape<4> for GlowNet {
    fn check(&self, kept: [usize; 4], other: [usize; 4], n_params: usize) -> Result<(), ShapeError> {
        self.widths.check("GlowNet", kept, other, n_params)
    }
}

impl<C: Context> Conditioner<4, C> for GlowNet {
    fn forward(&self, kept: Tensor<4>, _: &C) -> Tensor<3> {
        let dtype = kept.dtype();
        let kept = cast(kept, dtype::of(&self.input.weight));
        cast(self.widths.theta(self.output.convolve(self.inner.forward(self.input.forward(kept)))), dtype)
    }

    fn initialize(self, kept: Tensor<4>, _: &C) -> (Self, Tensor<3>) {
        let (input, h) = self.input.initialize(kept);
        let (inner, h) = self.inner.initialize(h);
        let theta = self.widths.theta(self.output.convolve(h)).detach();
        (Self { input, inner, ..self }, theta)
    }
}
