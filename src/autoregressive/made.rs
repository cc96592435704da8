//! Masked autoencoder: a dense network whose parameters for an element depend only on the elements
//! before it.
//! ```text
//! h_0 = (x, context)
//! h_i = φ((W_i ∘ M_i)·h_{i−1} + b_i)     one for each hidden width
//! theta = (W ∘ M)·h + b                  params·D outputs, ordered by parameter, then by element
//! ```
//! | degree of | is |
//! |---|---|
//! | element `order[i]` of `x`, and its parameters | `i + 1`, in `1..=D` |
//! | the condition | 0 |
//! | unit `k` of a hidden layer of width `w` | `least + ⌊k·(D − least)/w⌋`, in `least..D`, where `least` is 0 with a condition or if `D = 1`, else 1 |
//!
//! A hidden unit is connected to inputs and units of its degree or less. The parameters of an
//! element are connected to hidden units of a smaller degree than that of the element. All that
//! they depend on therefore has a smaller degree than the element itself. The parameters of the
//! first element depend on the condition, or are constants. Units of degree 0 depend only on the
//! condition; the parameters of the first element depend on it through them.
//!
//! A hidden layer narrower than `D` omits some degrees. An element whose degree lies between two of
//! its degrees is then seen only through the next larger one. Widths of several times `D` are
//! usual.
//!
//! # Initialisation
//! The weights of the hidden layers are uniform within `±1/√fan_in`. The weights of the last layer
//! are 0, and its bias holds the law's initial parameters ([`NetSite::theta_init`]).
//!
//! # Records
//! The order and the degrees that follow from it are integer parameters, saved with the weights. A
//! loaded network therefore uses the saved order, also if it was built with another.
//!
//! # Cost
//! That of dense layers. The mask is applied to the weights, not to the batch.
//!
//! # Reference
//! Germain et al. 2015. Differs: degrees of hidden units are spread evenly, not sampled; a
//! condition has its own degree.

use burn::config::Config;
use burn::module::{Content, Initializer, Module, ModuleDisplay, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::degrees::Degrees;
use super::masked_linear::{Cut, indices};
use super::{AutoregressiveNet, MaskedLinear};
use crate::conditioner::{Activation, Net, NetConfig, NetSite, theta};
use crate::error::ConfigError;
use crate::reshape::order::Order;
use crate::tensor::index_list::IndexList;
use crate::tensor::parameter;

/// Configuration of [`Made`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeConfig {
    /// Width of each hidden layer, first to last. Empty: theta is linear in the input.
    pub hidden: Vec<usize>,
    /// The order of the elements.
    #[serde(default = "Order::natural")]
    pub order: Order,
    /// Nonlinearity after the hidden layers.
    #[serde(default = "Activation::silu")]
    pub activation: Activation,
}

impl Config for MadeConfig {}

impl MadeConfig {
    /// Hidden layers of these widths, each followed by [`Activation::Silu`], and elements in
    /// natural order.
    pub fn new(hidden: impl Into<Vec<usize>>) -> Self {
        Self { hidden: hidden.into(), order: Order::Natural, activation: Activation::Silu }
    }

    /// The same with another order.
    pub fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// The same with another nonlinearity.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }
}

impl NetConfig<2> for MadeConfig {
    type Net = Made;
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<2>) -> Result<Made, ConfigError> {
        self.num_params(site)?;
        let (n_params, device) = (site.n_params(), site.device());
        let degrees = Degrees::new(site, &self.order);
        let mut inputs = degrees.elements.clone();
        inputs.extend(vec![0; site.context_width().unwrap_or(0)]);
        let mut hidden = Vec::with_capacity(self.hidden.len());
        for &width in &self.hidden {
            let of_layer = degrees.hidden(width);
            let linear = parameter::fan_in_linear(inputs.len(), width, device);
            hidden.push(MaskedLinear::new(&inputs, &of_layer, Cut::Later, linear, device));
            inputs = of_layer;
        }
        let outputs = degrees.elements.repeat(n_params);
        let linear =
            LinearConfig::new(inputs.len(), outputs.len()).with_initializer(Initializer::Zeros);
        let mut linear: Linear = linear.init(device);
        linear.bias = Some(site.bias());
        let output = MaskedLinear::new(&inputs, &outputs, Cut::SameAndLater, linear, device);
        let order = indices(&degrees.order, device);
        Ok(Made { hidden, output, order, activation: self.activation, n_params })
    }

    /// Weights and biases. The order and the degrees are integers and are not counted.
    fn num_params(&self, site: &NetSite<2>) -> Result<usize, ConfigError> {
        const NAME: &str = "MadeConfig";
        Degrees::check(NAME, "Made", site, &self.order)?;
        self.hidden.iter().try_for_each(|&width| ConfigError::positive(NAME, "hidden", width))?;
        let [identity, transformed, params, context] = site.sizes();
        let hidden = ("hidden", self.hidden.iter().copied().max().unwrap_or(0));
        let sizes = [identity, transformed, params, context, hidden];
        ConfigError::parameters(NAME, site.count_dense(&self.hidden), sizes)
    }
}

/// Masked autoencoder. The formulas head this module.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Made {
    /// Hidden layers, first to last.
    pub hidden: Vec<MaskedLinear>,
    /// Last layer, `-> params·D`.
    pub output: MaskedLinear,
    /// Indices of the elements, first to last, `[D]`.
    pub order: Param<Tensor<1, Int>>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    n_params: usize,
}

impl ModuleDisplay for Made {
    fn custom_content(&self, content: Content) -> Option<Content> {
        content
            .set_top_level_type("Made")
            .add("hidden", &self.hidden)
            .add("output", &self.output)
            .add_debug_attribute("order", &IndexList::of(&self.order))
            .add_debug_attribute("activation", &self.activation)
            .add_debug_attribute("n_params", &self.n_params)
            .optional()
    }
}

impl Net<2> for Made {
    fn forward(&self, identity: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<3> {
        let input = match context {
            Some(context) => Tensor::cat(vec![identity, context], 1),
            None => identity,
        };
        let layer = |h: Tensor<2>, layer: &MaskedLinear| self.activation.forward(layer.forward(h));
        let h = self.hidden.iter().fold(input, layer);
        theta(self.output.forward(h), self.n_params)
    }
}

impl AutoregressiveNet for Made {
    fn order(&self) -> Vec<usize> {
        self.order.val().into_data().iter::<i64>().map(|index| index as usize).collect()
    }
}
