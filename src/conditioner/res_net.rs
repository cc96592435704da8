//! Residual network for vectors, with blocks that a condition gates.
//! ```text
//! h = W·(kept, context) + b                                 F numbers
//! blocks times   r = W_2·drop(φ(W_1·φ(h) + b_1)) + b_2
//!                h = h + r·σ(W_c·context + b_c)             without a condition: h = h + r
//! theta = W_o·φ(h) + b_o                                    params·d_other numbers, ordered by parameter, then by number
//! ```
//! # Start
//! `W_o = 0` and `b_o` is the law's start ([`ThetaInit`]). `W_2` and `b_2` start within ±1e-3, so that a block starts
//! near the identity whatever their number; all others uniform within `±1/√fan_in`.
//!
//! # Reference
//! Durkan et al. 2019 (neural spline flows), §5 and its code: the same block with the gate and the 1e-3. Differs: theirs may normalise batches.

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::theta_init::{self, LastLayer};
use super::widths::Widths;
use super::{Activation, Conditioner, NetShape, ThetaInit};
use crate::context::VectorContext;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::linear::layer;
use crate::law::Law;
use crate::tensor::dtype::{self, cast};
use crate::tensor::limit::{MOST_REPEATS, product, sum};
use crate::tensor::parameter;
use crate::tensor::smooth::sigmoid;

/// Configuration of [`ResNet`].
#[derive(Config, Debug)]
pub struct ResNetConfig {
    /// Numbers of the kept half.
    pub d_kept: usize,
    /// Numbers of the half that changes.
    pub d_other: usize,
    /// Parameters of the law for each number.
    pub n_params: usize,
    /// Width `F` of the blocks.
    #[config(default = 64)]
    pub d_hidden: usize,
    /// Blocks.
    #[config(default = 2)]
    pub n_blocks: usize,
    /// Nonlinearity.
    #[config(default = "Activation::Silu")]
    pub activation: Activation,
    /// Numbers of the condition; `None`: no condition.
    pub d_context: Option<usize>,
    /// Probability that an activation is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Start of the law's parameters: one value for each parameter, the same for every element. `None`: the layer sets
    /// the law's own start ([`crate::law::Law::theta_init`]); without a layer they start at 0.
    pub theta_init: Option<Vec<f64>>,
}

impl ResNetConfig {
    /// Whether the configuration describes a network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Parameters of the network, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        self.widths().validate("ResNetConfig")?;
        theta_init::validate("ResNetConfig", &self.theta_init, self.n_params)?;
        ConfigError::positive("ResNetConfig", "d_hidden", self.d_hidden)?;
        ConfigError::dropout("ResNetConfig", self.dropout)?;
        ConfigError::at_most("ResNetConfig", "n_blocks", self.n_blocks, MOST_REPEATS)?;
        let [kept, other, params, context] = self.widths().fields();
        let sizes = [kept, other, params, context, ("d_hidden", self.d_hidden), ("n_blocks", self.n_blocks)];
        ConfigError::parameters("ResNetConfig", self.count(), sizes)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let (widths, f) = (self.widths(), self.d_hidden);
        let square = sum([product([f, f]), f]);
        let gate = self.d_context.map_or(0, |width| sum([product([width, f]), f]));
        sum([widths.dense(&[f]), product([self.n_blocks, sum([square, square, gate])])])
    }

    fn widths(&self) -> Widths {
        Widths { kept: self.d_kept, other: self.d_other, params: self.n_params, context: self.d_context }
    }

    /// The network.
    ///
    /// # Panics
    /// If [`ResNetConfig::validate`] is an error.
    pub fn init(&self, device: &Device) -> ResNet {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let (widths, f) = (self.widths(), self.d_hidden);
        let block = |_| ResBlock {
            first: parameter::fan_in_linear(f, f, device),
            second: parameter::linear(f, f, 1e-3, device),
            gate: self.d_context.map(|width| parameter::fan_in_linear(width, f, device)),
            dropout: DropoutConfig::new(self.dropout).init(),
        };
        let output = LinearConfig::new(f, widths.params * widths.other).with_initializer(Initializer::Zeros);
        let mut output: Linear = output.init(device);
        output.bias = Some(theta_init::bias(&self.theta_init, widths.params, widths.other, device));
        ResNet {
            input: parameter::fan_in_linear(widths.kept + widths.d_context(), f, device),
            blocks: (0..self.n_blocks).map(block).collect(),
            output,
            activation: self.activation,
            widths,
            theta_init: self.theta_init.clone(),
        }
    }
}

/// One block of a [`ResNet`].
#[derive(Module, Debug)]
pub struct ResBlock {
    /// `F -> F`.
    pub first: Linear,
    /// `F -> F`.
    pub second: Linear,
    /// From the condition, `-> F`.
    pub gate: Option<Linear>,
    dropout: Dropout,
}

/// Residual network for vectors. The formulas head this module.
#[derive(Module, Debug)]
pub struct ResNet {
    /// `d_kept + d_context -> F`.
    pub input: Linear,
    /// The blocks, first to last.
    pub blocks: Vec<ResBlock>,
    /// `F -> params·d_other`.
    pub output: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    widths: Widths,
    #[module(skip)]
    theta_init: Option<Vec<f64>>,
}

impl ResNet {
    fn block(&self, h: Tensor<2>, block: &ResBlock, context: Option<&Tensor<2>>) -> Tensor<2> {
        let r = layer(self.activation.forward(h.clone()), &block.first, Epilogue::Nothing);
        let r = layer(block.dropout.forward(self.activation.forward(r)), &block.second, Epilogue::Nothing);
        match (&block.gate, context) {
            (Some(gate), Some(context)) => h + r * sigmoid(layer(context.clone(), gate, Epilogue::Nothing)),
            // `check_context` lets no other pair through than one without both.
            _ => h + r,
        }
    }
}

impl ThetaInit for ResNet {
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
        let mut net = self;
        let (widths, own, weight) = (&net.widths, &net.theta_init, &net.output.weight);
        let last = LastLayer { network: "ResNet", widths, own, weight };
        net.output.bias = net.output.bias.take().map(|bias| last.init_at(bias, law)).transpose()?;
        Ok(net)
    }
}

impl NetShape<2> for ResNet {
    fn check(&self, kept: [usize; 2], other: [usize; 2], n_params: usize) -> Result<(), ShapeError> {
        self.widths.check("ResNet", kept, other, n_params)
    }
}

impl<C: VectorContext> Conditioner<2, C> for ResNet {
    fn forward(&self, kept: Tensor<2>, context: &C) -> Tensor<3> {
        check_shape(Conditioner::<2, C>::check_context(self, kept.dims(), context));
        let (dtype, own) = (kept.dtype(), dtype::of(&self.input.weight));
        let (kept, context) = (cast(kept, own), context.vector().map(|context| cast(context, own)));
        let input = match &context {
            Some(context) => Tensor::cat(vec![kept, context.clone()], 1),
            None => kept,
        };
        let h = layer(input, &self.input, Epilogue::Nothing);
        let h = self.blocks.iter().fold(h, |h, block| self.block(h, block, context.as_ref()));
        cast(self.widths.theta(layer(self.activation.forward(h), &self.output, Epilogue::Nothing)), dtype)
    }

    fn check_context(&self, kept: [usize; 2], context: &C) -> Result<(), ShapeError> {
        self.widths.check_context("ResNet", kept, &context.vectors())
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.widths.check_given("ResNet", C::N_PARTS)
    }
}
