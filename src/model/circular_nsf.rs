//! Neural spline flow on angles: a density on a circle or a torus.
//! ```text
//! n_steps times   one half: circular spline, theta = res_net(cos, sin of the other half, context)
//!                 the other half: circular splines with parameters of their own; halves alternate
//! prior           uniform on [−π, π)
//! ```
//! Data are angles in radians; one outside of `[−π, π)` is the same angle as the one inside.
//! [`CircularNsfConfig`] configures the layers, and [`CircularNsfConfig::prior`] is their prior.
//! The density is continuous everywhere, since each spline is continuous on the circle and each
//! network reads cosines and sines.
//!
//! A single angle has no other half: its parameters depend on the condition alone, and one step
//! suffices without a condition.
//!
//! # Reference
//! Rezende et al. 2020, *Normalizing Flows on Tori and Spheres*, §3.1 and §4; the network of Durkan
//! et al. 2019, as in [`Nsf`](super::Nsf).
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::model::CircularNsfConfig;
//! use flowkit::{Density, Flow};
//!
//! // Two dihedral angles.
//! let config = CircularNsfConfig::new(4);
//! let flow = Flow::build(&config, config.prior(), [1, 2], &Device::flex())?.without_data();
//! let angles = Tensor::<2>::from_data([[1.0, 3.14], [1.0, -3.14]], &Device::flex());
//! let nats = flow.evaluate(angles)?;
//! assert!((nats.nats()[0] - nats.nats()[1]).abs() < 0.05); // neighbours across the seam
//! # Ok::<(), flowkit::Error>(())
//! ```

use std::f64::consts::PI;

use super::alternating;
use crate::autoregressive::{
    MaskedAutoregressive, MaskedAutoregressiveConfig, ResMade, ResMadeConfig,
};
use crate::bijector::{Block, Blockwise, BlockwiseConfig, LayerConfig, Plan, Site};
use crate::conditioner::{Activation, AngleNet, AngleNetConfig, ResNet, ResNetConfig};
use crate::context::Features;
use crate::coupling::{Coupling, CouplingConfig};
use crate::elementwise::{Elementwise, ElementwiseConfig};
use crate::error::ConfigError;
use crate::flow::Flow;
use crate::law::{CircularSpline, CircularSplineConfig};
use crate::prior::{UniformBox, UniformBoxConfig};
use crate::tensor::half::Half;

/// The model: the layers of [`CircularNsfConfig`], followed by a uniform prior on the circle.
pub type CircularNsf<C = ()> = Flow<CircularNsfLayers, UniformBox, 2, C>;

/// The steps.
pub type CircularNsfLayers = Vec<CircularStep>;

/// A coupling and the splines of its identity half; for a single angle the last instead.
pub type CircularStep = (
    Option<Coupling<CircularSpline, AngleNet<ResNet>>>,
    Option<Blockwise<Option<Elementwise<CircularSpline>>>>,
    Option<MaskedAutoregressive<CircularSpline, ResMade>>,
);

config! {
    /// Configuration of the layers of [`CircularNsf`].
    #[derive(Debug)]
    pub struct CircularNsfConfig {
        /// Number of steps.
        pub n_steps: usize,
        /// Width of the networks.
        pub d_hidden: usize = 64,
        /// Number of blocks of each network.
        pub n_blocks: usize = 2,
        /// Number of bins of each spline.
        pub n_bins: usize = 8,
        /// Nonlinearity of the networks.
        pub activation: Activation = Activation::Relu,
        /// Probability that an activation is dropped in training.
        pub dropout: f64 = 0.0,
    }
}

/// Configuration of a [`CircularStep`].
type StepConfig = (
    Option<CouplingConfig<CircularSplineConfig, AngleNetConfig<ResNetConfig>>>,
    Option<BlockwiseConfig<Option<ElementwiseConfig<CircularSplineConfig>>>>,
    Option<MaskedAutoregressiveConfig<CircularSplineConfig, ResMadeConfig>>,
);

impl CircularNsfConfig {
    /// The prior of the layers: uniform on `[−π, π)`.
    pub fn prior(&self) -> UniformBoxConfig {
        UniformBoxConfig::between(-PI, PI)
    }

    /// Step number `index` for `dims` angles.
    fn step(&self, index: usize, dims: usize) -> StepConfig {
        let law = CircularSplineConfig::new(self.n_bins);
        if dims == 1 {
            let net = ResMadeConfig::new()
                .with_d_hidden(self.d_hidden)
                .with_n_blocks(self.n_blocks)
                .with_activation(self.activation)
                .with_dropout(self.dropout);
            return (None, None, Some(MaskedAutoregressiveConfig::new(law, net)));
        }
        let net = ResNetConfig::new()
            .with_d_hidden(self.d_hidden)
            .with_n_blocks(self.n_blocks)
            .with_activation(self.activation)
            .with_dropout(self.dropout);
        let identity = if index.is_multiple_of(2) { Half::First } else { Half::Second };
        let coupling = CouplingConfig::new(law.clone(), AngleNetConfig::new(net));
        let transformed = identity.other_range(dims);
        let others: Vec<usize> = (0..dims).filter(|index| !transformed.contains(index)).collect();
        let own = ElementwiseConfig::new(law).with_noise(0.0);
        let blocks = BlockwiseConfig::new(vec![
            Block::new(others, Some(own)),
            Block::new(transformed.collect::<Vec<_>>(), None),
        ]);
        (Some(coupling.with_identity(identity)), Some(blocks), None)
    }
}

impl<C: Features<2>> LayerConfig<2, C> for CircularNsfConfig {
    type Layer = CircularNsfLayers;

    fn build(&self, site: &Site<2, C>) -> Result<CircularNsfLayers, ConfigError> {
        self.plan(site)?;
        let dims = site.channels("CircularNsf")?;
        (0..self.n_steps).map(|index| self.step(index, dims).build(site)).collect()
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        const NAME: &str = "CircularNsfConfig";
        ConfigError::repeated(NAME, "n_steps", self.n_steps)?;
        let dims = site.channels("CircularNsf")?;
        let count = |index: usize| -> Result<usize, ConfigError> {
            let step = self.step(index, dims);
            Ok(site.keeps(0).then(&step, site, format_args!("[{index}]"))?.num_params)
        };
        let steps = alternating::num_params(self.n_steps, count)?;
        let sizes = [("dims", dims), ("n_steps", self.n_steps)];
        let total = ConfigError::parameters(NAME, steps, sizes)?;
        Ok(site.keeps(total))
    }
}
