//! Residual network for vectors, whose blocks are gated by a condition.
//! ```text
//! h = W·(identity, context) + b                             F elements
//! n_blocks times r = W_2·drop(φ(W_1·φ(h) + b_1)) + b_2
//!                h = h + r·σ(W_c·context + b_c)             without a condition: h = h + r
//! theta = W_o·h + b_o                                       params·transformed outputs, ordered by
//!                                                           parameter, then by element
//! ```
//! `φ` is the nonlinearity, `σ` the sigmoid, `drop` dropout.
//!
//! # Initialisation
//! `W_o = 0`, and `b_o` holds the law's initial parameters ([`NetSite::theta_init`]). `W_2` and
//! `b_2` are uniform within ±1e-3, so each block is initially close to the identity, however many
//! blocks there are. All others are uniform within `±1/√fan_in`.
//!
//! # Reference
//! Durkan et al. 2019 (neural spline flows), §5 and its code: the same block with the gate and the
//! 1e-3. Difference: theirs may use batch normalisation.

use burn::module::{Initializer, Module};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::Tensor;

use super::net::theta;
use super::{Activation, Net, NetConfig, NetSite};
use crate::error::ConfigError;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::linear::layer;
use crate::tensor::limit::{MOST_REPEATS, product, sum};
use crate::tensor::parameter;
use crate::tensor::smooth::sigmoid;

config! {
    /// Configuration of [`ResNet`].
    #[derive(Debug)]
    pub struct ResNetConfig {
        /// Width `F` of the blocks.
        pub d_hidden: usize = 64,
        /// Number of blocks.
        pub n_blocks: usize = 2,
        /// Nonlinearity.
        pub activation: Activation = Activation::Silu,
        /// Probability that an activation is dropped in training.
        pub dropout: f64 = 0.0,
    }
}

impl NetConfig<2> for ResNetConfig {
    type Net = ResNet;
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<2>) -> Result<ResNet, ConfigError> {
        self.num_params(site)?;
        let (f, device) = (self.d_hidden, site.device());
        let block = |_| ResBlock {
            first: parameter::fan_in_linear(f, f, device),
            second: parameter::linear(f, f, 1e-3, device),
            gate: site.context_width().map(|width| parameter::fan_in_linear(width, f, device)),
            dropout: DropoutConfig::new(self.dropout).init(),
        };
        let output = LinearConfig::new(f, site.n_outputs()).with_initializer(Initializer::Zeros);
        let mut output: Linear = output.init(device);
        output.bias = Some(site.bias());
        Ok(ResNet {
            input: parameter::fan_in_linear(site.n_inputs(), f, device),
            blocks: (0..self.n_blocks).map(block).collect(),
            output,
            activation: self.activation,
            n_params: site.n_params(),
        })
    }

    fn num_params(&self, site: &NetSite<2>) -> Result<usize, ConfigError> {
        const NAME: &str = "ResNetConfig";
        site.validate(NAME)?;
        ConfigError::positive(NAME, "d_hidden", self.d_hidden)?;
        ConfigError::dropout(NAME, self.dropout)?;
        ConfigError::at_most(NAME, "n_blocks", self.n_blocks, MOST_REPEATS)?;
        let [identity, transformed, params, context] = site.sizes();
        let sizes = [
            identity,
            transformed,
            params,
            context,
            ("d_hidden", self.d_hidden),
            ("n_blocks", self.n_blocks),
        ];
        ConfigError::parameters(NAME, self.count(site), sizes)
    }
}

impl ResNetConfig {
    /// The number of parameters; `usize::MAX` where it is larger.
    fn count(&self, site: &NetSite<2>) -> usize {
        let f = self.d_hidden;
        let square = sum([product([f, f]), f]);
        let gate = site.context_width().map_or(0, |width| sum([product([width, f]), f]));
        sum([site.count_dense(&[f]), product([self.n_blocks, sum([square, square, gate])])])
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
    /// `identity + context -> F`.
    pub input: Linear,
    /// The blocks, first to last.
    pub blocks: Vec<ResBlock>,
    /// `F -> params·transformed`.
    pub output: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    n_params: usize,
}

impl ResNet {
    fn block(&self, h: Tensor<2>, block: &ResBlock, context: Option<&Tensor<2>>) -> Tensor<2> {
        let r = layer(self.activation.forward(h.clone()), &block.first, Epilogue::Nothing);
        let r = layer(
            block.dropout.forward(self.activation.forward(r)),
            &block.second,
            Epilogue::Nothing,
        );
        match (&block.gate, context) {
            (Some(gate), Some(context)) => {
                h + r * sigmoid(layer(context.clone(), gate, Epilogue::Nothing))
            }
            // No other pair is possible: a network gets a condition exactly if its site has one.
            _ => h + r,
        }
    }
}

impl Net<2> for ResNet {
    fn forward(&self, identity: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<3> {
        let input = match &context {
            Some(context) => Tensor::cat(vec![identity, context.clone()], 1),
            None => identity,
        };
        let h = layer(input, &self.input, Epilogue::Nothing);
        let h = self.blocks.iter().fold(h, |h, block| self.block(h, block, context.as_ref()));
        theta(layer(h, &self.output, Epilogue::Nothing), self.n_params)
    }
}
