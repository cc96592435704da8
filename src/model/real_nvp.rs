//! RealNVP on vectors: couplings with alternating halves and dense networks. A flow for points in a
//! plane and for tables.
//! ```text
//! n_couplings times   norm and matrix, or not ([`LinearKind`])
//!                     coupling of a law that transforms the second half,
//!                       theta = mlp(first half, context)
//!                     swap of the halves
//! prior               standard normal
//! ```
//! [`RealNvpConfig`] configures the layers, [`Flow::build`] makes the flow.
//!
//! # Cost
//! Forward and inverse: one pass of each network. The affine law and the spline have an inverse in
//! closed form; MixLogCDF is inverted by root finding.
//!
//! # Reference
//! Dinh et al. 2017. Differs: vectors instead of images; other laws than the affine one; ActNorm
//! instead of batch normalisation.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::model::RealNvpConfig;
//! use flowkit::{Density, Flow, StandardNormal};
//!
//! let device = Device::flex();
//! let layers = RealNvpConfig::new(4);
//! let x = Tensor::<2>::random([64, 3], Distribution::Normal(5.0, 2.0), &device);
//! let flow = Flow::build(&layers, StandardNormal::new(), [1, 3], &device)?.initialize(x.clone())?;
//! assert_eq!(flow.evaluate(x)?.nats().len(), 64);
//! let samples = flow.sample(16)?;
//! assert_eq!(samples.dims(), [16, 3]);
//!
//! // Given one of two classes, one-hot.
//! let classes = Tensor::<2>::eye(2, &device);
//! let flow = Flow::build_given(&layers, StandardNormal::new(), [1, 3], &classes, &device)?;
//! let flow = flow.without_data();
//! let one_of_each = flow.given(&classes).sample(2)?;
//! assert_eq!(one_of_each.dims(), [2, 3]);
//! # Ok::<(), flowkit::Error>(())
//! ```

use super::linear_kind::{LinearKind, LinearLayers, LinearLayersConfig};
use crate::bijector::{LayerConfig, Plan, Site};
use crate::conditioner::{Activation, Mlp, MlpConfig};
use crate::context::Features;
use crate::coupling::{Coupling, CouplingConfig};
use crate::error::ConfigError;
use crate::flow::Flow;
use crate::law::{AffineConfig, AffineForm, AnyLaw, AnyLawConfig};
use crate::linear::ConstantChannel;
use crate::prior::StandardNormal;
use crate::reshape::Swap;
use crate::tensor::limit::product;

/// The model: the layers of [`RealNvpConfig`], followed by a standard normal prior.
pub type RealNvp<C = ()> = Flow<Vec<RealNvpStep>, StandardNormal, 2, C>;

/// One coupling, the layers that precede it, and a swap.
pub type RealNvpStep = (LinearLayers, Coupling<AnyLaw, Mlp>, Swap);

config! {
    /// Configuration of the layers of [`RealNvp`], for vectors of at least 2 elements.
    #[derive(Debug)]
    pub struct RealNvpConfig {
        /// Number of couplings.
        pub n_couplings: usize,
        /// Width of each hidden layer of the networks.
        pub hidden: Vec<usize> = vec![64, 64],
        /// Nonlinearity of the networks.
        pub activation: Activation = Activation::Silu,
        /// Law of the couplings.
        pub law: AnyLawConfig = AnyLawConfig::Affine(AffineConfig::new(AffineForm::Exponential)),
        /// The layers that precede every coupling.
        pub linear: LinearKind = LinearKind::Norm,
        /// What the norms do with a channel that is constant in the batch at initialisation.
        pub constant: ConstantChannel = ConstantChannel::Bounded,
    }
}

/// Configuration of one coupling, the layers that precede it, and a swap.
type StepConfig = (LinearLayersConfig, CouplingConfig<AnyLawConfig, MlpConfig>, Swap);

impl RealNvpConfig {
    /// The model of points in a plane that other libraries' benchmarks use: eight affine couplings,
    /// two hidden layers of 64 units with ReLU, no layers between the couplings.
    pub fn plane() -> Self {
        Self::new(8).with_activation(Activation::Relu).with_linear(LinearKind::None)
    }

    fn step(&self) -> StepConfig {
        let net = MlpConfig::new(self.hidden.clone()).with_activation(self.activation);
        let coupling = CouplingConfig::new(self.law.clone(), net);
        (self.linear.config(self.constant), coupling, Swap::new())
    }
}

impl<C: Features<2>> LayerConfig<2, C> for RealNvpConfig {
    type Layer = Vec<RealNvpStep>;

    fn build(&self, site: &Site<2, C>) -> Result<Self::Layer, ConfigError> {
        self.plan(site)?;
        let (between, coupling, swap) = self.step();
        let step = |_| {
            // The networks sample their initial weights before the matrices.
            let coupling = coupling.build(site)?;
            Ok((between.build(site)?, coupling, swap.clone()))
        };
        (0..self.n_couplings).map(step).collect()
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        const NAME: &str = "RealNvpConfig";
        ConfigError::repeated(NAME, "n_couplings", self.n_couplings)?;
        if site.shape()[1] == 1 {
            return Err(ConfigError::OneElement { config: NAME });
        }
        // All steps are alike, and each keeps the shape.
        let step = site.keeps(0).then(&self.step(), site, "[0]")?.num_params;
        let sizes = [("dims", site.shape()[1]), ("n_couplings", self.n_couplings)];
        let total = ConfigError::parameters(NAME, product([self.n_couplings, step]), sizes)?;
        Ok(site.keeps(total))
    }
}
