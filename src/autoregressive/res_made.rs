//! Residual masked autoencoder: a residual network whose parameters for an element depend only on
//! the elements before it.
//! ```text
//! h = (W ∘ M)·x + b + φ(V·context + c)                      F elements
//! n_blocks times r = (W_1 ∘ M_h)·φ(h) + b_1 + V_c·context + c_c
//!                h = h + (W_2 ∘ M_h)·drop(φ(r)) + b_2
//! theta = (W_o ∘ M_o)·h + b_o                               params·D outputs, ordered by
//!                                                           parameter, then by element
//! ```
//! `∘` multiplies by a mask, `φ` is the nonlinearity, `drop` dropout. Without a condition, the
//! terms of `V` and `V_c` are left out. `M` masks all weights of `x` if there is a single element;
//! they are not trained then. The degrees of the units, which define the masks, are those of
//! [`Made`](super::Made). All hidden layers have the same degrees, so a unit and its residual
//! depend on the same elements.
//!
//! # Initialisation
//! `W_o = 0`, and `b_o` holds the law's initial parameters ([`NetSite::theta_init`]). `W_2` and
//! `b_2` are uniform within ±1e-3, so each block is initially close to the identity. All others are
//! uniform within `±1/√fan_in`.
//!
//! # Records
//! The order and the degrees are integer parameters, saved with the weights.
//!
//! # Reference
//! The network of the autoregressive neural spline flows of Durkan et al. 2019, as in the library
//! nflows 0.14. Differs: degrees of hidden units are spread evenly; a condition has its own degree,
//! 0, so the parameters of the first element depend on it, which they do not there; no batch
//! normalisation.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::law::RationalQuadraticSplineConfig;
//! use flowkit::{Bijector, LayerConfig, MaskedAutoregressiveConfig, ResMadeConfig, Site};
//!
//! let device = Device::flex();
//! let net = ResMadeConfig::new().with_d_hidden(32);
//! let config = MaskedAutoregressiveConfig::new(RationalQuadraticSplineConfig::new(8), net);
//! let layer = config.build(&Site::new([1, 3], &device))?;
//! let x = Tensor::<2>::random([8, 3], Distribution::Normal(0.0, 1.0), &device);
//! let (z, _) = layer.forward(x.clone(), &());
//! // As initialised, theta is 0, where the spline is the identity.
//! assert!((z - x).abs().max().into_scalar::<f32>() < 1e-5);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::{Content, Initializer, Module, ModuleDisplay, Param};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Int, Tensor};

use super::degrees::Degrees;
use super::masked_linear::{Cut, indices};
use super::{AutoregressiveNet, MaskedLinear};
use crate::conditioner::{Activation, Net, NetConfig, NetSite, theta};
use crate::error::ConfigError;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::linear::layer;
use crate::reshape::order::Order;
use crate::tensor::index_list::IndexList;
use crate::tensor::limit::{MOST_REPEATS, product, sum};
use crate::tensor::parameter;

config! {
    /// Configuration of [`ResMade`].
    #[derive(Debug)]
    pub struct ResMadeConfig {
        /// Width `F` of the blocks.
        pub d_hidden: usize = 64,
        /// Number of blocks.
        pub n_blocks: usize = 2,
        /// The order of the elements.
        pub order: Order = Order::Natural,
        /// Nonlinearity.
        pub activation: Activation = Activation::Silu,
        /// Probability that an activation is dropped in training.
        pub dropout: f64 = 0.0,
    }
}

impl ResMadeConfig {
    /// The number of parameters; `usize::MAX` where it is larger.
    fn count(&self, site: &NetSite<2>) -> usize {
        let f = self.d_hidden;
        let dense = |inputs: usize, outputs: usize| sum([product([inputs, outputs]), outputs]);
        let context = site.context_width().map_or(0, |width| dense(width, f));
        let block = sum([dense(f, f), dense(f, f), context]);
        let ends = sum([dense(site.identity()[1], f), context, dense(f, site.n_outputs())]);
        sum([ends, product([self.n_blocks, block])])
    }
}

impl NetConfig<2> for ResMadeConfig {
    type Net = ResMade;
    const SETS_THETA_INIT: bool = true;

    fn build(&self, site: &NetSite<2>) -> Result<ResMade, ConfigError> {
        self.num_params(site)?;
        let (f, n_params, device) = (self.d_hidden, site.n_params(), site.device());
        let degrees = Degrees::new(site, &self.order);
        let hidden = degrees.hidden(f);
        let masked = |inputs: &[usize], linear: Linear| {
            MaskedLinear::new(inputs, &hidden, Cut::Later, linear, device)
        };
        let context =
            || site.context_width().map(|width| parameter::fan_in_linear(width, f, device));
        let dims = degrees.elements.len();
        let mut input = parameter::fan_in_linear(dims, f, device);
        if dims == 1 {
            input.weight = input.weight.set_require_grad(false);
        }
        let input = masked(&degrees.elements, input);
        let of_context = context();
        let block = |_| ResMadeBlock {
            first: masked(&hidden, parameter::fan_in_linear(f, f, device)),
            second: masked(&hidden, parameter::linear(f, f, 1e-3, device)),
            context: context(),
            dropout: DropoutConfig::new(self.dropout).init(),
        };
        let blocks = (0..self.n_blocks).map(block).collect();
        let outputs = degrees.elements.repeat(n_params);
        let output = LinearConfig::new(f, outputs.len()).with_initializer(Initializer::Zeros);
        let mut output: Linear = output.init(device);
        output.bias = Some(site.bias());
        Ok(ResMade {
            input,
            context: of_context,
            blocks,
            output: MaskedLinear::new(&hidden, &outputs, Cut::SameAndLater, output, device),
            order: indices(&degrees.order, device),
            activation: self.activation,
            n_params,
        })
    }

    /// Weights and biases. The order and the degrees are integers and are not counted.
    fn num_params(&self, site: &NetSite<2>) -> Result<usize, ConfigError> {
        const NAME: &str = "ResMadeConfig";
        Degrees::check(NAME, "ResMade", site, &self.order)?;
        ConfigError::positive(NAME, "d_hidden", self.d_hidden)?;
        ConfigError::dropout(NAME, self.dropout)?;
        ConfigError::at_most(NAME, "n_blocks", self.n_blocks, MOST_REPEATS)?;
        let [identity, transformed, params, context] = site.sizes();
        let (d_hidden, n_blocks) = (("d_hidden", self.d_hidden), ("n_blocks", self.n_blocks));
        let sizes = [identity, transformed, params, context, d_hidden, n_blocks];
        ConfigError::parameters(NAME, self.count(site), sizes)
    }
}

/// One block of a [`ResMade`].
#[derive(Module, Debug)]
pub struct ResMadeBlock {
    /// `F -> F`.
    pub first: MaskedLinear,
    /// `F -> F`.
    pub second: MaskedLinear,
    /// From the condition, `-> F`.
    pub context: Option<Linear>,
    dropout: Dropout,
}

/// Residual masked autoencoder. The formulas head this module.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct ResMade {
    /// `D -> F`.
    pub input: MaskedLinear,
    /// From the condition, `-> F`.
    pub context: Option<Linear>,
    /// The blocks, first to last.
    pub blocks: Vec<ResMadeBlock>,
    /// `F -> params·D`.
    pub output: MaskedLinear,
    /// Indices of the elements, first to last, `[D]`.
    pub order: Param<Tensor<1, Int>>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    n_params: usize,
}

impl ModuleDisplay for ResMade {
    fn custom_content(&self, content: Content) -> Option<Content> {
        content
            .set_top_level_type("ResMade")
            .add("input", &self.input)
            .add("context", &self.context)
            .add("blocks", &self.blocks)
            .add("output", &self.output)
            .add_debug_attribute("order", &IndexList::of(&self.order))
            .add_debug_attribute("activation", &self.activation)
            .add_debug_attribute("n_params", &self.n_params)
            .optional()
    }
}

/// The term of the condition. A network gets a condition exactly if its site has one.
fn of_context(linear: &Option<Linear>, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
    Some(layer(context?.clone(), linear.as_ref()?, Epilogue::Nothing))
}

impl ResMade {
    fn block(&self, h: Tensor<2>, block: &ResMadeBlock, context: Option<&Tensor<2>>) -> Tensor<2> {
        let r = block.first.forward(self.activation.forward(h.clone()));
        let r = match of_context(&block.context, context) {
            Some(term) => r + term,
            None => r,
        };
        h + block.second.forward(block.dropout.forward(self.activation.forward(r)))
    }
}

impl Net<2> for ResMade {
    fn forward(&self, identity: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<3> {
        let context = context.as_ref();
        let h = self.input.forward(identity);
        let h = match of_context(&self.context, context) {
            Some(term) => h + self.activation.forward(term),
            None => h,
        };
        let h = self.blocks.iter().fold(h, |h, block| self.block(h, block, context));
        theta(self.output.forward(h), self.n_params)
    }
}

impl AutoregressiveNet for ResMade {
    fn order(&self) -> Vec<usize> {
        self.order.val().into_data().iter::<i64>().map(|index| index as usize).collect()
    }
}
