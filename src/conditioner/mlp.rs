//! Multilayer perceptron: dense layers from the kept half of a vector, and a condition beside it, to a law's parameters.
//! ```text
//! h_0 = (kept, context)                                     d_kept + d_context numbers
//! h_i = φ(W_i·h_{i−1} + b_i)                                one for each hidden width
//! theta = W·h + b                                           params·d_other numbers, ordered by parameter, then by number
//! ```
//! # Start
//! Hidden layers start uniform within `±1/√fan_in` (PyTorch's default). `W = 0` and `b` is the law's start
//! ([`ThetaInit`]). A coupling of a law that is the identity at theta = 0 ([`crate::law::Affine`] as `Exponential` or
//! `Additive`, [`crate::law::RationalQuadraticSpline`]) starts as the identity. One of [`crate::law::MixLogCdf`] starts
//! near it, with components that differ.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm, Law};
//! use flowkit::{Bijector, CouplingConfig, MlpConfig};
//!
//! let device = Device::flex();
//! let law = AffineConfig::new(AffineForm::Exponential).init();
//! // Five numbers: the first three tell how the last two change, together with a condition of four.
//! let net = MlpConfig::new(3, 2, law.n_params()).with_hidden(vec![32, 32]).with_d_context(Some(4)).init(&device);
//! let coupling = CouplingConfig::new().init(law, net);
//! let x = Tensor::<2>::random([8, 5], Distribution::Normal(0.0, 1.0), &device);
//! let context = Tensor::<2>::random([8, 4], Distribution::Normal(0.0, 1.0), &device);
//! let (z, _) = coupling.forward(x.clone(), &context);
//! assert_eq!((z - x).abs().max().into_scalar::<f32>(), 0.0); // the start
//! ```

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::theta_init::{self, LastLayer};
use super::widths::Widths;
use super::{Activation, Conditioner, NetShape, ThetaInit};
use crate::context::VectorContext;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::linear;
use crate::law::Law;
use crate::tensor::dtype::{self, cast};
use crate::tensor::parameter;

/// Configuration of [`Mlp`].
#[derive(Config, Debug)]
pub struct MlpConfig {
    /// Numbers of the kept half.
    pub d_kept: usize,
    /// Numbers of the half that changes.
    pub d_other: usize,
    /// Parameters of the law for each number.
    pub n_params: usize,
    /// Width of each hidden layer, first to last. Empty: theta is linear in the input.
    #[config(default = "vec![64, 64]")]
    pub hidden: Vec<usize>,
    /// Nonlinearity behind the hidden layers.
    #[config(default = "Activation::Silu")]
    pub activation: Activation,
    /// Numbers of the condition; `None`: no condition.
    pub d_context: Option<usize>,
    /// Start of the law's parameters: one value for each parameter, the same for every element. `None`: the layer sets
    /// the law's own start ([`crate::law::Law::theta_init`]); without a layer they start at 0.
    pub theta_init: Option<Vec<f64>>,
}

impl MlpConfig {
    /// Whether the configuration describes a network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Parameters of the network, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        self.widths().validate("MlpConfig")?;
        theta_init::validate("MlpConfig", &self.theta_init, self.n_params)?;
        self.hidden.iter().try_for_each(|&width| ConfigError::positive("MlpConfig", "hidden", width))?;
        let [kept, other, params, context] = self.widths().fields();
        let hidden = ("hidden", self.hidden.iter().copied().max().unwrap_or(0));
        ConfigError::parameters("MlpConfig", self.count(), [kept, other, params, context, hidden])
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        self.widths().dense(&self.hidden)
    }

    fn widths(&self) -> Widths {
        Widths { kept: self.d_kept, other: self.d_other, params: self.n_params, context: self.d_context }
    }

    /// The network.
    ///
    /// # Panics
    /// If [`MlpConfig::validate`] is an error.
    pub fn init(&self, device: &Device) -> Mlp {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let widths = self.widths();
        let mut inputs = widths.kept + widths.d_context();
        let hidden = self.hidden.iter().map(|&width| {
            let layer = parameter::fan_in_linear(inputs, width, device);
            inputs = width;
            layer
        });
        let hidden = hidden.collect();
        let output = LinearConfig::new(inputs, widths.params * widths.other).with_initializer(Initializer::Zeros);
        let mut output: Linear = output.init(device);
        output.bias = Some(theta_init::bias(&self.theta_init, widths.params, widths.other, device));
        Mlp { hidden, output, activation: self.activation, widths, theta_init: self.theta_init.clone() }
    }
}

/// Multilayer perceptron. The formulas head this module.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Hidden layers, first to last.
    pub hidden: Vec<Linear>,
    /// Last layer, `-> params·d_other`.
    pub output: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    widths: Widths,
    #[module(skip)]
    theta_init: Option<Vec<f64>>,
}

impl ThetaInit for Mlp {
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
        let mut net = self;
        let (widths, own, weight) = (&net.widths, &net.theta_init, &net.output.weight);
        let last = LastLayer { network: "Mlp", widths, own, weight };
        net.output.bias = net.output.bias.take().map(|bias| last.init_at(bias, law)).transpose()?;
        Ok(net)
    }
}

impl NetShape<2> for Mlp {
    fn check(&self, kept: [usize; 2], other: [usize; 2], n_params: usize) -> Result<(), ShapeError> {
        self.widths.check("Mlp", kept, other, n_params)
    }
}

impl<C: VectorContext> Conditioner<2, C> for Mlp {
    fn forward(&self, kept: Tensor<2>, context: &C) -> Tensor<3> {
        check_shape(Conditioner::<2, C>::check_context(self, kept.dims(), context));
        let input = match context.vector() {
            Some(context) => Tensor::cat(vec![kept, context], 1),
            None => kept,
        };
        let layer = |h: Tensor<2>, layer: &Linear| match self.activation {
            Activation::Relu => linear::layer(h, layer, Epilogue::Relu),
            activation => activation.forward(linear::layer(h, layer, Epilogue::Nothing)),
        };
        let dtype = input.dtype();
        let h = self.hidden.iter().fold(cast(input, dtype::of(&self.output.weight)), layer);
        cast(self.widths.theta(linear::layer(h, &self.output, Epilogue::Nothing)), dtype)
    }

    fn check_context(&self, kept: [usize; 2], context: &C) -> Result<(), ShapeError> {
        self.widths.check_context("Mlp", kept, &context.vectors())
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.widths.check_given("Mlp", C::N_PARTS)
    }
}
