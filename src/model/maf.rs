//! Masked autoregressive flow on vectors: every element is transformed given all elements before
//! it, in alternating orders.
//! ```text
//! n_layers times      norm and matrix, or not ([`LinearKind`])
//!                     masked autoregressive layer of a law     theta = made(x, context)
//! prior               standard normal
//! ```
//! Orders alternate: natural, reversed, natural, and so on.
//!
//! [`MafConfig`] configures the layers, [`Flow::build`] makes the flow.
//!
//! # Cost
//! Densities: one pass of each network. Samples: `dims` passes of each. A layer is more expressive
//! than a coupling, which leaves half of the elements unchanged.
//!
//! # Reference
//! Papamakarios et al. 2017. Differs: other laws than the affine one; ActNorm instead of batch
//! normalisation.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::model::MafConfig;
//! use flowkit::{Density, Flow, StandardNormal};
//!
//! let device = Device::flex();
//! let x = Tensor::<2>::random([64, 3], Distribution::Normal(5.0, 2.0), &device);
//! let flow = Flow::build(&MafConfig::new(5), StandardNormal::new(), [1, 3], &device)?;
//! let flow = flow.initialize(x.clone())?;
//! assert_eq!(flow.evaluate(x)?.nats().len(), 64);
//! let samples = flow.sample(16)?;
//! assert_eq!(samples.dims(), [16, 3]);
//! # Ok::<(), flowkit::Error>(())
//! ```

use super::linear_kind::{LinearKind, LinearLayers, LinearLayersConfig};
use crate::autoregressive::{Made, MadeConfig, MaskedAutoregressive, MaskedAutoregressiveConfig};
use crate::bijector::{LayerConfig, Plan, Site};
use crate::conditioner::Activation;
use crate::context::Features;
use crate::error::ConfigError;
use crate::flow::Flow;
use crate::law::{AffineConfig, AffineForm, AnyLaw, AnyLawConfig};
use crate::linear::ConstantChannel;
use crate::prior::StandardNormal;
use crate::reshape::order::Order;
use crate::tensor::limit::product;

/// The model: the layers of [`MafConfig`], followed by a standard normal prior.
pub type Maf<C = ()> = Flow<Vec<MafStep>, StandardNormal, 2, C>;

/// One autoregressive layer and the layers that precede it.
pub type MafStep = (LinearLayers, MaskedAutoregressive<AnyLaw, Made>);

config! {
    /// Configuration of the layers of [`Maf`].
    ///
    /// A vector of a single element needs a nonlinear law or a condition: with affine layers, the
    /// model would only be a normal distribution.
    #[derive(Debug)]
    pub struct MafConfig {
        /// Number of autoregressive layers.
        pub n_layers: usize,
        /// Width of each hidden layer of the networks.
        pub hidden: Vec<usize> = vec![64, 64],
        /// Nonlinearity of the networks.
        pub activation: Activation = Activation::Silu,
        /// Law of the layers.
        pub law: AnyLawConfig = AnyLawConfig::Affine(AffineConfig::new(AffineForm::Exponential)),
        /// The layers that precede every autoregressive layer.
        pub linear: LinearKind = LinearKind::Norm,
        /// What the norms do with a channel that is constant in the batch at initialisation.
        pub constant: ConstantChannel = ConstantChannel::Bounded,
    }
}

/// Configuration of one autoregressive layer and the layers that precede it.
type StepConfig = (LinearLayersConfig, MaskedAutoregressiveConfig<AnyLawConfig, MadeConfig>);

impl MafConfig {
    /// Step number `index`.
    fn step(&self, index: usize) -> StepConfig {
        let order = if index.is_multiple_of(2) { Order::Natural } else { Order::Reversed };
        let net =
            MadeConfig::new(self.hidden.clone()).with_order(order).with_activation(self.activation);
        let layer = MaskedAutoregressiveConfig::new(self.law.clone(), net);
        (self.linear.config(self.constant), layer)
    }
}

impl<C: Features<2>> LayerConfig<2, C> for MafConfig {
    type Layer = Vec<MafStep>;

    fn build(&self, site: &Site<2, C>) -> Result<Self::Layer, ConfigError> {
        self.plan(site)?;
        let step = |index| {
            let (between, layer) = self.step(index);
            // The networks sample their initial weights before the matrices.
            let layer = layer.build(site)?;
            Ok((between.build(site)?, layer))
        };
        (0..self.n_layers).map(step).collect()
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        const NAME: &str = "MafConfig";
        ConfigError::repeated(NAME, "n_layers", self.n_layers)?;
        // Steps differ in their order alone, and each keeps the shape.
        let step = site.keeps(0).then(&self.step(0), site, "[0]")?.num_params;
        let sizes = [("dims", site.shape()[1]), ("n_layers", self.n_layers)];
        let total = ConfigError::parameters(NAME, product([self.n_layers, step]), sizes)?;
        Ok(site.keeps(total))
    }
}
