//! 3x3 convolution that starts as zero: the last layer of Glow's networks, and the whole network of its learned priors.
//! ```text
//! y[b, o, p] = (Σ_{i, d} W[o, i, d]·x[b, i, p + d] + Σ_d W[o, in, d]·ring[p + d] + β[o])·exp(3·ℓ[o])
//! ```
//! | symbol | meaning | shape | trained | start |
//! |---|---|---|---|---|
//! | `W` | weights; the last input channel is the `ring`: 1 around the image, 0 in it | `[out, in + 1, 3, 3]` | yes | 0 |
//! | `β` | bias | `[out]` | yes | the law's start in a layer ([`ThetaInit`]), else 0 |
//! | `ℓ` | log-scale over 3 | `[out]` | yes | 0 |
//!
//! As a [`Conditioner`], output channel `j·C + c` is parameter `j` of channel `c`, so theta is a reshape. The released code interleaves them,
//! `c·params + j`, with the shift (or mean) as parameter 0: the same function with the outputs in another order.
//!
//! # Reference
//! `conv2d_zeros` of the code of Kingma & Dhariwal 2018.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use super::layer::zero_linear::LOG_SCALE_FACTOR;
use super::theta_init::{self, LastLayer};
use super::widths::Widths;
use super::{Conditioner, NetShape, ThetaInit};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};
use crate::kernel::channel_affine;
use crate::kernel::conv2d::{self, Border, ConvStages};
use crate::law::Law;
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::{product, sum};

/// Configuration of [`ZeroConv`].
#[derive(Config, Debug)]
pub struct ZeroConvConfig {
    /// Input channels, of the half that a coupling keeps.
    pub n_kept: usize,
    /// Channels of the half that changes.
    pub n_other: usize,
    /// Parameters of the law for each number of it.
    pub n_params: usize,
    /// Start of the law's parameters: one value for each parameter, the same for every element. `None`: the layer sets
    /// the law's own start ([`crate::law::Law::theta_init`]); without a layer they start at 0.
    pub theta_init: Option<Vec<f64>>,
}

impl ZeroConvConfig {
    /// Whether the configuration describes a layer.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Parameters of the network, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        self.widths().validate_channels("ZeroConvConfig")?;
        theta_init::validate("ZeroConvConfig", &self.theta_init, self.n_params)?;
        let sizes = [("n_kept", self.n_kept), ("n_other", self.n_other), ("n_params", self.n_params)];
        ConfigError::parameters("ZeroConvConfig", self.count(), sizes)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let outputs = self.widths().outputs();
        sum([product([outputs, sum([self.n_kept, 1]), 9]), product([2, outputs])])
    }

    fn widths(&self) -> Widths {
        Widths { kept: self.n_kept, other: self.n_other, params: self.n_params, context: None }
    }

    /// The layer.
    ///
    /// # Panics
    /// If [`ZeroConvConfig::validate`] is an error.
    pub fn init(&self, device: &Device) -> ZeroConv {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let outputs = self.n_params * self.n_other;
        ZeroConv {
            weight: Initializer::Zeros.init([outputs, self.n_kept + 1, 3, 3], device),
            bias: theta_init::bias(&self.theta_init, self.n_params, self.n_other, device),
            log_scale: Initializer::Zeros.init([outputs], device),
            widths: self.widths(),
            theta_init: self.theta_init.clone(),
        }
    }
}

/// Convolution that starts as zero. The formulas head this module.
#[derive(Module, Debug)]
pub struct ZeroConv {
    /// Weights `W`, `[out, in + 1, 3, 3]`.
    pub weight: Param<Tensor<4>>,
    /// Bias `β`, `[out]`.
    pub bias: Param<Tensor<1>>,
    /// Log-scale over 3, `ℓ`, `[out]`.
    pub log_scale: Param<Tensor<1>>,
    #[module(skip)]
    widths: Widths,
    #[module(skip)]
    theta_init: Option<Vec<f64>>,
}

impl ZeroConv {
    /// # Shapes
    /// `[B, in, H, W]` to `[B, out, H, W]`.
    pub fn convolve(&self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.scaled();
        let dtype = x.dtype();
        conv2d::forward(
            x,
            cast(weight, dtype),
            Some(cast(bias, dtype)),
            ConvStages { border: Border::Channel, ..ConvStages::PLAIN },
        )
    }

    /// What [`ZeroConv::convolve`] gives for an image of zeros: the bias and, at the border, the ring's weights.
    ///
    /// # Shapes
    /// `[1, out, H, W]`.
    pub fn of_zeros(&self, size: [usize; 2]) -> Tensor<4> {
        let (weight, bias) = self.scaled();
        conv2d::border_channel(weight, size, Some(bias))
    }

    /// Weights and bias, each output's multiplied by its scale: cheaper than to multiply the output. Those of a half type in float32.
    fn scaled(&self) -> (Tensor<4>, Tensor<1>) {
        let dtype = dtype::wide(dtype::of(&self.weight));
        let scale = cast(self.log_scale.val(), dtype).mul_scalar(LOG_SCALE_FACTOR).exp();
        let weight = scaled(cast(self.weight.val(), dtype), scale.clone());
        (weight, cast(self.bias.val(), dtype) * scale)
    }
}

/// Weights `[out, ...]`, each output's multiplied by its scale.
pub(super) fn scaled(weight: Tensor<4>, scale: Tensor<1>) -> Tensor<4> {
    let dims @ [outputs, inputs, kh, kw] = weight.dims();
    let rows = weight.reshape([1, outputs, inputs * kh * kw]);
    channel_affine::forward(rows, scale.zeros_like(), scale).reshape(dims)
}

impl ZeroConv {
    /// [`ThetaInit::init_at`] of a network that ends in this layer.
    pub(super) fn start_within<L: Law>(self, network: &'static str, law: &L) -> Result<Self, ConfigError> {
        let last = LastLayer { network, widths: &self.widths, own: &self.theta_init, weight: &self.weight };
        // The scale of the outputs starts at 1, so the bias is theta.
        let bias = last.init_at(self.bias.clone(), law)?;
        Ok(Self { bias, ..self })
    }
}

impl ThetaInit for ZeroConv {
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
        self.start_within("ZeroConv", law)
    }
}

impl NetShape<4> for ZeroConv {
    fn check(&self, kept: [usize; 4], other: [usize; 4], n_params: usize) -> Result<(), ShapeError> {
        self.widths.check("ZeroConv", kept, other, n_params)
    }
}

impl<C: Context> Conditioner<4, C> for ZeroConv {
    fn forward(&self, kept: Tensor<4>, _: &C) -> Tensor<3> {
        let dtype = kept.dtype();
        cast(self.widths.theta(self.convolve(cast(kept, dtype::of(&self.weight)))), dtype)
    }
}
