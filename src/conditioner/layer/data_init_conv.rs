//! Convolution with stride 1, zero "same" padding and data-dependent initialisation.
//! ```text
//! y[b, o, p] = Σ_{i, d} W[o, i, d]·x[b, i, p + d] + bias[o]
//! W = V               ConvWeight::Plain
//! W = g·V/‖V‖         ConvWeight::WeightNorm, ‖V[o]‖ over all i and d
//! ```
//! | symbol | meaning | shape | initial value |
//! |---|---|---|---|
//! | `V` | weights, `conv.weight` | `[out, in, k, k]` | see below |
//! | `bias` | `conv.bias` | `[out]` | 0, see below |
//! | `g` | length of the weights of each output channel, `gain` | `[out]` | 1; absent when plain |
//!
//! # Initialisation
//! [`ConvInit::DataDependent`]: weights from `N(0, 0.05²)`. Then, with the mean `m` and the biased
//! variance `v` of each output channel over batch and positions, in float64: `W ← W·scale/u` and
//! `bias ← −m·scale/u`, where `u = √(v + min(1e-8, 1e-6·v))`. Outputs then have mean 0 and
//! deviation `scale`. With weight normalisation `g` is multiplied instead of `W`. A channel that is
//! constant in the batch has no deviation to divide by: then `u = max(1, |m|)`, so a stack of
//! convolutions amplifies nothing. In a batch of one example and one position each channel has a
//! single element. Weights and bias then become NaN, and `initialize` of the flow returns an error.
//! [`ConvInit::FanIn`]: weights and bias uniform within `±1/√fan_in` (PyTorch's default), without
//! data. [`ConvInit::Normal`]: weights from `N(0, deviation²)`, bias 0, without data.
//! [`ConvInit::Zero`]: weights and bias 0.
//!
//! # Numerics
//! `‖V‖` is computed as `√(ΣV² + 1e-24)`, so a channel whose weights are all 0 gives 0 and not NaN.
//! For a norm of 1e-4 or more, 1e-24 is below the spacing of float64. `k²·in` weights from
//! `N(0, 0.05²)` have a norm of about `0.05·k·√in`.
//!
//! # Reference
//! Salimans & Kingma 2016 §2 (weight normalisation) and §3 (initialisation), as in Flow++'s
//! released code (0.05, 1e-8). Differences: the initialisation of constant channels, and the term
//! 1e-8, which here never exceeds a millionth of the variance.

use burn::module::{Initializer, Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::kernel::conv2d::{self, PreActivation};
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::{MOST_KERNEL, product, sum};
use crate::tensor::moments::{Moments, on_device};
use crate::tensor::parameter;

/// How the weights are initialised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ConvInit {
    /// From data: outputs have mean 0 and this deviation on the first batch.
    DataDependent {
        /// Deviation of the outputs.
        scale: f64,
    },
    /// Uniform within `±1/√fan_in`.
    FanIn,
    /// Normal with this deviation, bias 0.
    Normal {
        /// Deviation of the weights.
        deviation: f64,
    },
    /// All 0: for the last layer of a network whose law is initialised as the identity.
    Zero,
}

/// Parametrisation of the weights of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConvWeight {
    /// The weights are the parameters.
    Plain,
    /// A direction and, for each output channel, a length. Requires data-dependent initialisation,
    /// which sets the length.
    WeightNorm,
}

config! {
    /// Configuration of [`DataInitConv`].
    #[derive(Debug)]
    pub struct DataInitConvConfig {
        /// Number of input channels.
        pub n_inputs: usize,
        /// Number of output channels.
        pub n_outputs: usize,
        /// Side length of the kernel, an odd number.
        pub kernel: usize = 3,
        /// How the weights are initialised.
        pub init: ConvInit = ConvInit::DataDependent { scale: 1.0 },
        /// Parametrisation of the weights.
        pub weight: ConvWeight = ConvWeight::Plain,
    }
}

impl ConvInit {
    /// Checks that the deviation, if there is one, is positive and finite, and that `weight` allows
    /// this initialisation.
    pub(crate) fn validate(
        self,
        config: &'static str,
        weight: ConvWeight,
    ) -> Result<(), ConfigError> {
        let found = match (weight, self) {
            (ConvWeight::WeightNorm, Self::FanIn | Self::Normal { .. } | Self::Zero) => {
                let (found, needs) =
                    ("WeightNorm", "a data-dependent `init`, which sets the lengths");
                return Err(ConfigError::Choice { config, field: "weight", found, needs });
            }
            (_, Self::DataDependent { scale: found } | Self::Normal { deviation: found }) => found,
            (_, Self::FanIn | Self::Zero) => return Ok(()),
        };
        if found.is_finite() && found > 0.0 {
            return Ok(());
        }
        Err(ConfigError::OutOfRange { config, field: "init", range: "(0, ∞)", found })
    }
}

impl DataInitConvConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the convolution, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        const NAME: &str = "DataInitConvConfig";
        ConfigError::positive(NAME, "n_inputs", self.n_inputs)?;
        ConfigError::positive(NAME, "n_outputs", self.n_outputs)?;
        ConfigError::at_most(NAME, "kernel", self.kernel, MOST_KERNEL)?;
        if self.kernel.is_multiple_of(2) {
            let (field, range) = ("kernel", "the odd numbers");
            return Err(ConfigError::OutOfRange {
                config: NAME,
                field,
                range,
                found: self.kernel as f64,
            });
        }
        self.init.validate(NAME, self.weight)?;
        let sizes =
            [("n_inputs", self.n_inputs), ("n_outputs", self.n_outputs), ("kernel", self.kernel)];
        ConfigError::parameters(NAME, self.count(), sizes)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let gain = if self.weight == ConvWeight::WeightNorm { self.n_outputs } else { 0 };
        sum([
            product([self.n_inputs, self.n_outputs, self.kernel, self.kernel]),
            self.n_outputs,
            gain,
        ])
    }

    /// The layer.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<DataInitConv, ConfigError> {
        self.validate()?;
        let fan_in = (self.n_inputs * self.kernel * self.kernel) as f64;
        let bound = 1.0 / fan_in.sqrt();
        let pad = self.kernel / 2;
        let mut conv =
            Conv2dConfig::new([self.n_inputs, self.n_outputs], [self.kernel, self.kernel])
                .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                .with_initializer(Initializer::Zeros)
                .init(device);
        let shape = [self.n_outputs, self.n_inputs, self.kernel, self.kernel];
        // burn has already initialised zeros.
        match self.init {
            ConvInit::DataDependent { .. } => conv.weight = parameter::normal(shape, 0.05, device),
            ConvInit::Normal { deviation } => {
                conv.weight = parameter::normal(shape, deviation, device)
            }
            ConvInit::FanIn => {
                conv.weight = parameter::uniform(shape, bound, device);
                conv.bias = Some(parameter::uniform([self.n_outputs], bound, device));
            }
            ConvInit::Zero => {}
        }
        let gain = match self.weight {
            ConvWeight::Plain => None,
            ConvWeight::WeightNorm => Some(Initializer::Ones.init([self.n_outputs], device)),
        };
        Ok(DataInitConv { conv, gain, init: self.init })
    }
}

/// Convolution with data-dependent initialisation. The formulas head this module.
#[derive(Module, Debug)]
pub struct DataInitConv {
    /// The convolution, weights `V`, `[out, in, k, k]`.
    pub conv: Conv2d,
    /// Lengths `g`, `[out]`; `None` when plain.
    pub gain: Option<Param<Tensor<1>>>,
    #[module(skip)]
    init: ConvInit,
}

impl DataInitConv {
    /// Applies the convolution.
    ///
    /// # Shapes
    /// `[B, in, H, W]` to `[B, out, H, W]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_behind(x, PreActivation::Identity)
    }

    /// The convolution of `before(x)`, where `before` is an activation.
    pub(crate) fn forward_behind(&self, x: Tensor<4>, before: PreActivation) -> Tensor<4> {
        let (weight, bias) = self.parameters(x.dtype());
        conv2d::forward(x, weight, bias, conv2d::ConvStages::preceded_by(before))
    }

    /// Weights `[out, in, k, k]` and bias `[out]` of the convolution, cast to a type.
    pub(crate) fn parameters(&self, dtype: DType) -> (Tensor<4>, Option<Tensor<1>>) {
        let bias = self.conv.bias.as_ref().map(|bias| cast(bias.val(), dtype));
        (cast(self.weight(), dtype), bias)
    }

    /// Weights, `[out, in, k, k]`: those of the convolution, or directions times their lengths. In
    /// a half-precision type the product is computed in float32.
    fn weight(&self) -> Tensor<4> {
        let direction = self.conv.weight.val();
        let Some(gain) = &self.gain else { return direction };
        let outputs = direction.dims()[0];
        let dtype = dtype::wide(direction.dtype());
        let (direction, gain) = (cast(direction, dtype), cast(gain.val(), dtype));
        let inverse_norm =
            direction.clone().square().sum_dims(&[1, 2, 3]).add_scalar(1e-24).sqrt().recip();
        direction * (gain.reshape([outputs, 1, 1, 1]) * inverse_norm)
    }

    /// Numbers of input and output channels.
    pub(crate) fn channels(&self) -> [usize; 2] {
        let shape = self.conv.weight.lazy_shape();
        [shape[1], shape[0]]
    }

    /// Data-dependent initialisation. Returns the output too, detached from the graph.
    ///
    /// # Shapes
    /// `[B, in, H, W]` to `[B, out, H, W]`.
    pub fn initialize(self, x: Tensor<4>) -> (Self, Tensor<4>) {
        let ConvInit::DataDependent { scale } = self.init else {
            let y = self.forward(x).detach();
            return (self, y);
        };
        let mut layer = self;
        let [_, outputs] = layer.channels();
        let zeros = |bias: Param<Tensor<1>>| {
            let device = bias.lazy_device();
            parameter::set(bias, Tensor::zeros([outputs], &device))
        };
        layer.conv.bias = layer.conv.bias.map(zeros);
        let y = layer.forward(x).inner();
        let moments = Moments::of_channels(&y);
        let unit = |channel: usize| {
            let (mean, deviation) = (moments.mean[channel], moments.deviation[channel]);
            let variance = deviation * deviation;
            match moments.count {
                0 | 1 => f64::NAN,
                _ if deviation <= moments.resolution[channel] => mean.abs().max(1.0),
                _ => (variance + (1e-6 * variance).min(1e-8)).sqrt(),
            }
        };
        let factors: Vec<f64> = (0..outputs).map(|channel| scale / unit(channel)).collect();
        // The rounding errors of a constant channel are not data for later layers.
        let kept = |channel: usize| {
            if moments.deviation[channel] <= moments.resolution[channel] { 0.0 } else { 1.0 }
        };
        let passed_on = (0..outputs).map(|channel| factors[channel] * kept(channel)).collect();
        let shifts =
            moments.mean.iter().zip(&factors).map(|(mean, factor)| -mean * factor).collect();
        let channels =
            |values: Vec<f64>| on_device(values, [1, outputs, 1, 1], &y.device(), y.dtype());
        let [mean, factor, passed_on] = [moments.mean.clone(), factors, passed_on].map(channels);
        let y = (y - mean) * passed_on;
        layer.conv.bias = layer.conv.bias.map(|bias| parameter::set_values(bias, shifts));
        match layer.gain {
            Some(gain) => {
                let lengths = gain.val().inner() * factor.reshape([outputs]);
                layer.gain = Some(parameter::set(gain, lengths));
            }
            None => {
                let weight = layer.conv.weight.val().inner() * factor.reshape([outputs, 1, 1, 1]);
                layer.conv.weight = parameter::set(layer.conv.weight, weight);
            }
        }
        (layer, y)
    }
}
