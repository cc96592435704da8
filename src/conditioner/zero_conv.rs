//! 3x3 convolution with initial weights of zero: the last layer of Glow's networks, and the whole
//! network of its learned priors.
//! ```text
//! y[b, o, p] = (Σ_{i, d} W[o, i, d]·x[b, i, p + d] + Σ_d W[o, in, d]·border[p + d] + β[o])
//!              ·exp(3·ℓ[o])
//! ```
//! | symbol | meaning | shape | trained | initial value |
//! |---|---|---|---|---|
//! | `W` | weights; the last input channel is the `border`: 1 around the image, 0 inside | `[out, in + 1, 3, 3]` | yes | 0 |
//! | `β` | bias | `[out]` | yes | the law's initial parameters ([`NetSite::theta_init`]) |
//! | `ℓ` | log-scale divided by 3 | `[out]` | yes | 0 |
//!
//! As a [`Net`], output channel `j·C + c` is parameter `j` of channel `c`, so theta is a reshape.
//! The released code interleaves them as `c·params + j`, with the shift (or mean) as parameter 0.
//! This is the same function with its outputs in another order.
//!
//! The network ignores a condition.
//!
//! # Reference
//! `conv2d_zeros` of the code of Kingma & Dhariwal 2018.

use burn::module::{Initializer, ModuleDisplay, Param};
use burn::tensor::Tensor;

use super::layer::zero_linear::LOG_SCALE_FACTOR;
use super::net::theta;
use super::{Net, NetConfig, NetSite};
use crate::error::ConfigError;
use crate::kernel::conv2d::{self, Border, ConvStages};
use crate::kernel::scaled_conv2d;
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::{product, sum};
use crate::tensor::marked_module::marked_module;

config! {
    /// Configuration of [`ZeroConv`], which has no settings.
    #[derive(Debug, PartialEq)]
    pub struct ZeroConvConfig {}
}

impl NetConfig<4> for ZeroConvConfig {
    type Net = ZeroConv;
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<4>) -> Result<ZeroConv, ConfigError> {
        NetConfig::num_params(self, site)?;
        let (outputs, device) = (site.n_outputs(), site.device());
        Ok(ZeroConv {
            weight: Initializer::Zeros.init([outputs, site.identity()[1] + 1, 3, 3], device),
            // The initial scale of the outputs is 1, so the bias is theta.
            bias: site.bias(),
            log_scale: Initializer::Zeros.init([outputs], device),
            n_params: site.n_params(),
        })
    }

    fn num_params(&self, site: &NetSite<4>) -> Result<usize, ConfigError> {
        const NAME: &str = "ZeroConvConfig";
        site.validate(NAME)?;
        ConfigError::parameters(NAME, count(site.identity()[1], site.n_outputs()), site.sizes())
    }
}

/// Number of parameters of a layer with these channels; `usize::MAX` where there are more.
pub(crate) fn count(inputs: usize, outputs: usize) -> usize {
    sum([product([outputs, sum([inputs, 1]), 9]), product([2, outputs])])
}

/// Convolution with initial weights of zero. The formulas head this module.
#[derive(Debug, Clone)]
pub struct ZeroConv {
    /// Weights `W`, `[out, in + 1, 3, 3]`.
    pub weight: Param<Tensor<4>>,
    /// Bias `β`, `[out]`.
    pub bias: Param<Tensor<1>>,
    /// Log-scale divided by 3, `ℓ`, `[out]`.
    pub log_scale: Param<Tensor<1>>,
    n_params: usize,
}

marked_module! {
    NETWORK: ZeroConv [], module [], display [],
    modules [weight, bias, log_scale], others [n_params]
}

impl ModuleDisplay for ZeroConv {}

impl ZeroConv {
    /// Applies the convolution.
    ///
    /// # Shapes
    /// `[B, in, H, W]` to `[B, out, H, W]`.
    pub fn convolve(&self, x: Tensor<4>) -> Tensor<4> {
        let stages = ConvStages { border: Border::Channel, ..ConvStages::PLAIN };
        scaled(x, &self.weight, self.bias.val(), (self.log_scale.val(), LOG_SCALE_FACTOR), stages)
    }

    /// The output of [`ZeroConv::convolve`] for an image of zeros: the bias plus, at the border,
    /// the weights of the border channel.
    ///
    /// # Shapes
    /// `[1, out, H, W]`.
    pub fn of_zeros(&self, size: [usize; 2]) -> Tensor<4> {
        let dtype = dtype::wide(dtype::of(&self.weight));
        let [bias, log_scale] = [&self.bias, &self.log_scale].map(|of| cast(of.val(), dtype));
        let scales = (log_scale, LOG_SCALE_FACTOR);
        let weight = cast(self.weight.val(), dtype);
        let (weight, bias) = scaled_conv2d::plain::scaled(weight, bias, scales);
        conv2d::border_channel(weight, size, Some(bias))
    }
}

/// The scaled convolution in the type of `x`. In a half-precision type weights are scaled in
/// float32.
pub(super) fn scaled(
    x: Tensor<4>,
    weight: &Param<Tensor<4>>,
    bias: Tensor<1>,
    (log_scale, factor): (Tensor<1>, f64),
    stages: ConvStages,
) -> Tensor<4> {
    let (dtype, wide) = (x.dtype(), dtype::wide(dtype::of(weight)));
    let weight = cast(weight.val(), wide);
    let (bias, log_scale) = (cast(bias, wide), cast(log_scale, wide));
    if wide == dtype {
        return scaled_conv2d::forward(x, weight, bias, (log_scale, factor), stages);
    }
    let (weight, bias) = scaled_conv2d::plain::scaled(weight, bias, (log_scale, factor));
    conv2d::forward(x, cast(weight, dtype), Some(cast(bias, dtype)), stages)
}

impl Net<4> for ZeroConv {
    fn forward(&self, identity: Tensor<4>, _: Option<Tensor<4>>) -> Tensor<3> {
        theta(self.convolve(identity), self.n_params)
    }

    fn reads_context(&self) -> bool {
        false
    }
}
