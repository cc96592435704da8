//! Masked autoencoder: a dense network whose parameters for one number depend on the numbers before it alone.
//! ```text
//! h_0 = (x, context)
//! h_i = φ((W_i ∘ M_i)·h_{i−1} + b_i)                        one for each hidden width
//! theta = (W ∘ M)·h + b                                     params·D numbers, ordered by parameter, then by number
//! ```
//! | degree of | is |
//! |---|---|
//! | number `order[i]` of `x`, and its parameters | `i + 1`, in `1..=D` |
//! | the condition | 0 |
//! | unit `k` of a hidden layer of width `w` | `least + ⌊k·(D − least)/w⌋`, in `least..D`, where `least` is 0 with a condition or if `D = 1`, else 1 |
//!
//! A hidden unit is connected to what has its degree or less, the parameters of a number to hidden units of less than its degree: what they
//! depend on has a smaller degree than the number itself. So the first number's parameters depend on the condition, or are constants. Units of
//! degree 0 see the condition alone; they are how the first number does.
//!
//! A hidden layer narrower than `D` leaves degrees out: numbers between two of them in the order are then seen through the next only. Widths of
//! several times `D` are usual.
//!
//! # Start
//! Hidden layers start uniform within `±1/√fan_in`. The weights of the last layer start at 0, its bias at the law's
//! start ([`ThetaInit`]).
//!
//! # Records
//! The order and the degrees that follow from it are integer parameters, saved with the weights: a checkpoint computes what it computed, also in a
//! network that was built with another order.
//!
//! # Cost
//! That of dense layers; the mask is applied to the weights, not to the batch.
//!
//! # Reference
//! Germain et al. 2015. Differs: degrees of hidden units are spread evenly, not drawn; a condition has a degree of its own.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};

use super::masked_linear::{Cut, indices};
use super::{AutoregressiveNet, MaskedLinear};
use crate::conditioner::theta_init::{self, LastLayer};
use crate::conditioner::widths::Widths;
use crate::conditioner::{Activation, Conditioner, NetShape, ThetaInit};
use crate::context::VectorContext;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::Law;
use crate::reshape::order::Order;
use crate::tensor::dtype::{self, cast};
use crate::tensor::parameter;

/// Configuration of [`Made`].
#[derive(Config, Debug)]
pub struct MadeConfig {
    /// Numbers `D` of a vector.
    pub dims: usize,
    /// Parameters of the law for each number.
    pub n_params: usize,
    /// Width of each hidden layer, first to last. Empty: theta is linear in the input.
    #[config(default = "vec![64, 64]")]
    pub hidden: Vec<usize>,
    /// Which number comes first.
    #[config(default = "Order::Natural")]
    pub order: Order,
    /// Nonlinearity behind the hidden layers.
    #[config(default = "Activation::Silu")]
    pub activation: Activation,
    /// Numbers of the condition; `None`: no condition.
    pub d_context: Option<usize>,
    /// Start of the law's parameters: one value for each parameter, the same for every element. `None`: the layer sets
    /// the law's own start ([`crate::law::Law::theta_init`]); without a layer they start at 0.
    pub theta_init: Option<Vec<f64>>,
}

impl MadeConfig {
    /// Whether the configuration describes a network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Parameters of the network, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        const NAME: &str = "MadeConfig";
        ConfigError::positive(NAME, "dims", self.dims)?;
        self.widths().validate(NAME)?;
        theta_init::validate(NAME, &self.theta_init, self.n_params)?;
        self.hidden.iter().try_for_each(|&width| ConfigError::positive(NAME, "hidden", width))?;
        self.order.validate(NAME, self.dims)?;
        let hidden = ("hidden", self.hidden.iter().copied().max().unwrap_or(0));
        let sizes =
            [("dims", self.dims), ("n_params", self.n_params), ("d_context", self.widths().d_context()), hidden];
        ConfigError::parameters(NAME, self.count(), sizes)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        self.widths().dense(&self.hidden)
    }

    fn widths(&self) -> Widths {
        Widths { kept: self.dims, other: self.dims, params: self.n_params, context: self.d_context }
    }

    /// Degrees of the units of a hidden layer.
    fn degrees(&self, width: usize) -> Vec<usize> {
        let least = if self.d_context.is_some() || self.dims == 1 { 0 } else { 1 };
        (0..width).map(|unit| least + unit * (self.dims - least) / width).collect()
    }

    /// The network.
    ///
    /// # Panics
    /// If [`MadeConfig::validate`] is an error.
    pub fn init(&self, device: &Device) -> Made {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let order = self.order.indices(self.dims);
        let mut numbers = vec![0; self.dims];
        for (place, &index) in order.iter().enumerate() {
            numbers[index] = place + 1;
        }
        let mut inputs = numbers.clone();
        inputs.extend(vec![0; self.widths().d_context()]);
        let mut hidden = Vec::with_capacity(self.hidden.len());
        for &width in &self.hidden {
            let degrees = self.degrees(width);
            let linear = parameter::fan_in_linear(inputs.len(), width, device);
            hidden.push(MaskedLinear::new(&inputs, &degrees, Cut::Later, linear, device));
            inputs = degrees;
        }
        let outputs = numbers.repeat(self.n_params);
        let linear = LinearConfig::new(inputs.len(), outputs.len()).with_initializer(Initializer::Zeros);
        let mut linear: Linear = linear.init(device);
        linear.bias = Some(theta_init::bias(&self.theta_init, self.n_params, self.dims, device));
        let output = MaskedLinear::new(&inputs, &outputs, Cut::SameAndLater, linear, device);
        let order = indices(&order, device);
        let (widths, theta_init) = (self.widths(), self.theta_init.clone());
        Made { hidden, output, order, activation: self.activation, widths, theta_init }
    }
}

/// Masked autoencoder. The formulas head this module.
#[derive(Module, Debug)]
pub struct Made {
    /// Hidden layers, first to last.
    pub hidden: Vec<MaskedLinear>,
    /// Last layer, `-> params·D`.
    pub output: MaskedLinear,
    /// Indices of the numbers, first to last, `[D]`.
    pub order: Param<Tensor<1, Int>>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    widths: Widths,
    #[module(skip)]
    theta_init: Option<Vec<f64>>,
}

impl ThetaInit for Made {
    /// # Errors
    /// Also for an affine law of one element without a condition ([`ConfigError::OnlyNormal`]).
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
        if self.widths.kept == 1 && self.widths.context.is_none() && law.is_affine() {
            return Err(ConfigError::OnlyNormal { config: "Made" });
        }
        let mut net = self;
        let linear = &mut net.output.linear;
        let (widths, own, weight) = (&net.widths, &net.theta_init, &linear.weight);
        let last = LastLayer { network: "Made", widths, own, weight };
        linear.bias = linear.bias.take().map(|bias| last.init_at(bias, law)).transpose()?;
        Ok(net)
    }
}

impl NetShape<2> for Made {
    fn check(&self, kept: [usize; 2], other: [usize; 2], n_params: usize) -> Result<(), ShapeError> {
        self.widths.check("Made", kept, other, n_params)
    }
}

impl<C: VectorContext> Conditioner<2, C> for Made {
    fn forward(&self, kept: Tensor<2>, context: &C) -> Tensor<3> {
        check_shape(Conditioner::<2, C>::check_context(self, kept.dims(), context));
        let input = match context.vector() {
            Some(context) => Tensor::cat(vec![kept, context], 1),
            None => kept,
        };
        let layer = |h: Tensor<2>, layer: &MaskedLinear| self.activation.forward(layer.forward(h));
        let dtype = input.dtype();
        let h = self.hidden.iter().fold(cast(input, dtype::of(&self.output.linear.weight)), layer);
        cast(self.widths.theta(self.output.forward(h)), dtype)
    }

    fn check_context(&self, kept: [usize; 2], context: &C) -> Result<(), ShapeError> {
        self.widths.check_context("Made", kept, &context.vectors())
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.widths.check_given("Made", C::N_PARTS)
    }
}

impl<C: VectorContext> AutoregressiveNet<C> for Made {
    fn order(&self) -> Vec<usize> {
        self.order.val().into_data().iter::<i64>().map(|index| index as usize).collect()
    }
}
