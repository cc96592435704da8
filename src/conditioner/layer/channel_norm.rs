//! Layer normalisation over the channels of every position.
//! ```text
//! y[b, :, p] = γ·(x − mean) / √(var + ε) + β            over the channels, biased, ε = 1e-5
//! ```
//! | symbol | meaning | shape | initial value |
//! |---|---|---|---|
//! | `γ` | gain | `[1, C, 1, 1]` | 1 |
//! | `β` | shift | `[1, C, 1, 1]` | 0 |
//!
//! burn's `LayerNorm` normalises the last axis; this layer keeps images channel-first. Ba et al.
//! 2016.

use burn::module::{Initializer, ModuleDisplay, Param};
use burn::tensor::{Device, Tensor};

use super::DataInitConv;
use crate::error::ConfigError;
use crate::kernel::channel_norm;
use crate::kernel::conv2d::PreActivation;
use crate::kernel::gated_norm::{self, Norm};
use crate::kernel::gated_residual;
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::product;
use crate::tensor::marked_module::marked_module;

/// `ε`.
const EPSILON: f64 = 1e-5;

config! {
    /// Configuration of [`ChannelNorm`].
    #[derive(Debug)]
    pub struct ChannelNormConfig {
        /// Number of channels, the length of axis 1.
        pub n_channels: usize,
    }
}

impl ChannelNormConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the norm, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        ConfigError::positive("ChannelNormConfig", "n_channels", self.n_channels)?;
        Ok(self.count())
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        product([2, self.n_channels])
    }

    /// The layer.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<ChannelNorm, ConfigError> {
        self.validate()?;
        let shape = [1, self.n_channels, 1, 1];
        let gain = Initializer::Ones.init(shape, device);
        Ok(ChannelNorm { gain, bias: Initializer::Zeros.init(shape, device) })
    }
}

/// Layer normalisation over channels. The formulas head this module.
#[derive(Debug, Clone)]
pub struct ChannelNorm {
    /// Gain `γ`, `[1, C, 1, 1]`.
    pub gain: Param<Tensor<4>>,
    /// Shift `β`, `[1, C, 1, 1]`.
    pub bias: Param<Tensor<4>>,
}

marked_module! {
    WIDE: ChannelNorm [], module [], display [], modules [gain, bias], others []
}

impl ModuleDisplay for ChannelNorm {}

impl ChannelNorm {
    /// Normalises the channels of every position. For a half-precision type, means and variances
    /// are computed in float32.
    ///
    /// # Shapes
    /// `[B, C, H, W]` to the same.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let [x, gain, bias] =
            [x, self.gain.val(), self.bias.val()].map(|value| cast(value, dtype::wide(dtype)));
        cast(channel_norm::forward(x, gain, bias, EPSILON), dtype)
    }

    /// The norm of `x` plus a gated update. `gate` computes the update from `before(c)`.
    pub(crate) fn forward_gated(
        &self,
        x: Tensor<4>,
        gate: &DataInitConv,
        c: Tensor<4>,
        before: PreActivation,
    ) -> Tensor<4> {
        let dtype = x.dtype();
        if dtype::wide(dtype) != dtype {
            return self.forward(gated_residual::forward(x, gate.forward_behind(c, before)));
        }
        let norm = Norm {
            gain: cast(self.gain.val(), dtype),
            shift: cast(self.bias.val(), dtype),
            epsilon: EPSILON,
        };
        gated_norm::forward(x, c, gate.parameters(dtype), norm, before)
    }
}
