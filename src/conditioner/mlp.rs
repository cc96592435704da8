//! Multilayer perceptron: dense layers that compute the parameters of a law from the identity half
//! of a vector, concatenated with a condition.
//! ```text
//! h_0 = (identity, context)
//! h_i = φ(W_i·h_{i−1} + b_i)                                one for each hidden width
//! theta = W·h + b                                           params·transformed outputs, ordered by
//!                                                           parameter, then by element
//! ```
//! # Initialisation
//! Hidden layers are uniform within `±1/√fan_in` (PyTorch's default). `W = 0`, and `b` holds the
//! law's initial parameters ([`NetSite::theta_init`]). A coupling whose law is the identity at
//! theta = 0 ([`crate::law::Affine`] as `Exponential` or `Additive`,
//! [`crate::law::RationalQuadraticSpline`]) is therefore initialised as the identity. A coupling of
//! [`crate::law::MixLogCdf`] is initialised near the identity, with different components.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm};
//! use flowkit::{Bijector, CouplingConfig, LayerConfig, MlpConfig, Site};
//!
//! let device = Device::flex();
//! let config =
//!     CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([32, 32]));
//! let x = Tensor::<2>::random([8, 5], Distribution::Normal(0.0, 1.0), &device);
//! let context = Tensor::<2>::random([8, 4], Distribution::Normal(0.0, 1.0), &device);
//! // The first three elements and the condition determine how the last two are transformed.
//! let coupling = config.build(&Site::given([1, 5], &context, &device))?;
//! let (z, _) = coupling.forward(x.clone(), &context);
//! assert_eq!((z - x).abs().max().into_scalar::<f32>(), 0.0); // as initialised
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::net::theta;
use super::{Activation, Net, NetConfig, NetSite};
use crate::error::ConfigError;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::linear;
use crate::tensor::parameter;

/// Configuration of [`Mlp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Width of each hidden layer, first to last. Empty: theta is linear in the input.
    pub hidden: Vec<usize>,
    /// Nonlinearity after the hidden layers.
    #[serde(default = "Activation::silu")]
    pub activation: Activation,
}

impl Config for MlpConfig {}

impl MlpConfig {
    /// Hidden layers of these widths, each followed by [`Activation::Silu`].
    pub fn new(hidden: impl Into<Vec<usize>>) -> Self {
        Self { hidden: hidden.into(), activation: Activation::Silu }
    }

    /// The same with another nonlinearity.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }
}

impl NetConfig<2> for MlpConfig {
    type Net = Mlp;
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<2>) -> Result<Mlp, ConfigError> {
        self.num_params(site)?;
        let mut inputs = site.n_inputs();
        let hidden = self.hidden.iter().map(|&width| {
            let layer = parameter::fan_in_linear(inputs, width, site.device());
            inputs = width;
            layer
        });
        let hidden = hidden.collect();
        let output =
            LinearConfig::new(inputs, site.n_outputs()).with_initializer(Initializer::Zeros);
        let mut output: Linear = output.init(site.device());
        output.bias = Some(site.bias());
        Ok(Mlp { hidden, output, activation: self.activation, n_params: site.n_params() })
    }

    fn num_params(&self, site: &NetSite<2>) -> Result<usize, ConfigError> {
        const NAME: &str = "MlpConfig";
        site.validate(NAME)?;
        self.hidden.iter().try_for_each(|&width| ConfigError::positive(NAME, "hidden", width))?;
        let [identity, transformed, params, context] = site.sizes();
        let hidden = ("hidden", self.hidden.iter().copied().max().unwrap_or(0));
        let sizes = [identity, transformed, params, context, hidden];
        ConfigError::parameters(NAME, site.count_dense(&self.hidden), sizes)
    }
}

/// Multilayer perceptron. The formulas head this module.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Hidden layers, first to last.
    pub hidden: Vec<Linear>,
    /// Last layer, `-> params·transformed`.
    pub output: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    n_params: usize,
}

impl Net<2> for Mlp {
    fn forward(&self, identity: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<3> {
        let input = match context {
            Some(context) => Tensor::cat(vec![identity, context], 1),
            None => identity,
        };
        let layer = |h: Tensor<2>, layer: &Linear| match self.activation {
            Activation::Relu => linear::layer(h, layer, Epilogue::Relu),
            activation => activation.forward(linear::layer(h, layer, Epilogue::Nothing)),
        };
        let h = self.hidden.iter().fold(input, layer);
        theta(linear::layer(h, &self.output, Epilogue::Nothing), self.n_params)
    }
}
