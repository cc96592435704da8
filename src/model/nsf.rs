//! Neural spline flow on vectors: rational-quadratic splines with matrices between them. For tables
//! and other vectors.
//! ```text
//! n_steps times   norm and matrix, or not ([`LinearKind`])
//!   Coupling        one half: spline, theta = res_net(other half, context)
//!                   the other half: a spline with parameters of its own; halves alternate
//!   Autoregressive  every element: spline, theta = res_made(elements before it, context)
//! norm and matrix, or not
//! prior           standard normal
//! ```
//! [`NsfConfig`] configures the layers, [`Flow::build`] makes the flow.
//!
//! A vector of one element has no other half: there, both forms are the autoregressive one, a
//! spline whose parameters depend on the condition alone.
//!
//! # Cost
//! Coupling: one pass of each network for a density or a sample. Autoregressive: one pass for
//! a density, `dims` for a sample; it is more expressive.
//!
//! # Numerics
//! A spline is the identity outside of ±`bound`. The norms give the elements deviation 1, so few
//! lie outside at the default of 3. The matrix keeps the mean square over all elements, but moves
//! that of correlated ones into few, up to deviation `√dims`: there, raise `bound`. Data should be
//! standardised before, as [`Columns`](crate::Columns) does.
//!
//! # Reference
//! Durkan et al. 2019: "RQ-NSF (C)" and "RQ-NSF (AR)", with the splines on the identity half that
//! the released code has. Differs: a norm that is initialised from data; the last layers of the
//! networks are initialised to 0, so each spline is initially the identity. With the same weights,
//! the densities are those of the library nflows 0.14 (`tests/nsf.rs`).
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::model::NsfConfig;
//! use flowkit::{Density, Flow, StandardNormal};
//!
//! let device = Device::flex();
//! let x = Tensor::<2>::random([64, 3], Distribution::Normal(5.0, 2.0), &device);
//! let flow = Flow::build(&NsfConfig::new(3), StandardNormal::new(), [1, 3], &device)?;
//! let flow = flow.initialize(x.clone())?;
//! assert_eq!(flow.evaluate(x)?.nats().len(), 64);
//! assert_eq!(flow.sample(16)?.dims(), [16, 3]);
//! # Ok::<(), flowkit::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::alternating;
use super::linear_kind::{LinearKind, LinearLayers, LinearLayersConfig};
use crate::autoregressive::{
    MaskedAutoregressive, MaskedAutoregressiveConfig, ResMade, ResMadeConfig,
};
use crate::bijector::{Block, Blockwise, BlockwiseConfig, LayerConfig, Plan, Site};
use crate::conditioner::{Activation, ResNet, ResNetConfig};
use crate::context::Features;
use crate::coupling::{Coupling, CouplingConfig};
use crate::elementwise::{Elementwise, ElementwiseConfig};
use crate::error::ConfigError;
use crate::flow::Flow;
use crate::law::{RationalQuadraticSpline, RationalQuadraticSplineConfig};
use crate::linear::{ConstantChannel, Conv1x1Init};
use crate::prior::StandardNormal;
use crate::reshape::order::Order;
use crate::tensor::half::Half;
use crate::tensor::limit::sum;

/// The model: the layers of [`NsfConfig`], followed by a standard normal prior.
pub type Nsf<C = ()> = Flow<NsfLayers, StandardNormal, 2, C>;

/// The steps, and the layers after the last one.
pub type NsfLayers = (Vec<NsfStep>, LinearLayers);

/// One transform, and the layers that precede it.
pub type NsfStep = (LinearLayers, NsfTransform);

/// A coupling, and the splines of its identity half.
pub type SplineCoupling = (
    Coupling<RationalQuadraticSpline, ResNet>,
    Blockwise<Option<Elementwise<RationalQuadraticSpline>>>,
);

crate::choice! {
    /// The transform of a step.
    pub enum NsfTransform: Bijector {
        /// A coupling, and the splines of its identity half.
        Coupling(SplineCoupling),
        /// An autoregressive layer.
        Autoregressive(MaskedAutoregressive<RationalQuadraticSpline, ResMade>),
    }
}

/// Which elements the parameters of an element depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NsfForm {
    /// Those of the other half.
    Coupling,
    /// Those before it, in an order that alternates.
    Autoregressive,
}

config! {
    /// Configuration of the layers of [`Nsf`].
    #[derive(Debug)]
    pub struct NsfConfig {
        /// Number of steps.
        pub n_steps: usize,
        /// Which elements the parameters of an element depend on.
        pub form: NsfForm = NsfForm::Coupling,
        /// Width of the networks.
        pub d_hidden: usize = 64,
        /// Number of blocks of each network.
        pub n_blocks: usize = 2,
        /// Number of bins of each spline.
        pub n_bins: usize = 8,
        /// The splines act within ±`bound`.
        pub bound: f64 = 3.0,
        /// Nonlinearity of the networks.
        pub activation: Activation = Activation::Relu,
        /// Probability that an activation is dropped in training.
        pub dropout: f64 = 0.0,
        /// The layers that precede every transform and follow the last.
        pub linear: LinearKind = LinearKind::NormAndMatrix(Conv1x1Init::Permutation),
        /// What the norms do with a channel that is constant in the batch at initialisation.
        pub constant: ConstantChannel = ConstantChannel::Bounded,
    }
}

/// Configuration of the transform of one step.
enum TransformConfig {
    Coupling(CouplingParts),
    Autoregressive(MaskedAutoregressiveConfig<RationalQuadraticSplineConfig, ResMadeConfig>),
}

/// Configuration of a [`SplineCoupling`].
type CouplingParts = (
    CouplingConfig<RationalQuadraticSplineConfig, ResNetConfig>,
    BlockwiseConfig<Option<ElementwiseConfig<RationalQuadraticSplineConfig>>>,
);

impl<C: Features<2>> LayerConfig<2, C> for TransformConfig {
    type Layer = NsfTransform;

    fn build(&self, site: &Site<2, C>) -> Result<NsfTransform, ConfigError> {
        match self {
            Self::Coupling(parts) => parts.build(site).map(NsfTransform::Coupling),
            Self::Autoregressive(layer) => layer.build(site).map(NsfTransform::Autoregressive),
        }
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        match self {
            Self::Coupling(parts) => parts.plan(site),
            Self::Autoregressive(layer) => layer.plan(site),
        }
    }
}

impl NsfConfig {
    fn law(&self) -> RationalQuadraticSplineConfig {
        RationalQuadraticSplineConfig::new(self.n_bins).with_bound(self.bound)
    }

    /// The transform of step `index` for vectors of `dims` elements.
    fn transform(&self, index: usize, dims: usize) -> TransformConfig {
        let even = index.is_multiple_of(2);
        if self.form == NsfForm::Autoregressive || dims == 1 {
            let net = ResMadeConfig::new()
                .with_d_hidden(self.d_hidden)
                .with_n_blocks(self.n_blocks)
                .with_order(if even { Order::Natural } else { Order::Reversed })
                .with_activation(self.activation)
                .with_dropout(self.dropout);
            let layer = MaskedAutoregressiveConfig::new(self.law(), net);
            return TransformConfig::Autoregressive(layer);
        }
        let net = ResNetConfig::new()
            .with_d_hidden(self.d_hidden)
            .with_n_blocks(self.n_blocks)
            .with_activation(self.activation)
            .with_dropout(self.dropout);
        let identity = if even { Half::First } else { Half::Second };
        let coupling = CouplingConfig::new(self.law(), net).with_identity(identity);
        let transformed = identity.other_range(dims);
        let others: Vec<usize> = (0..dims).filter(|index| !transformed.contains(index)).collect();
        let own = ElementwiseConfig::new(self.law()).with_noise(0.0);
        let blocks = BlockwiseConfig::new(vec![
            Block::new(others, Some(own)),
            Block::new(transformed.collect::<Vec<_>>(), None),
        ]);
        TransformConfig::Coupling((coupling, blocks))
    }

    /// Step number `index`.
    fn step(&self, index: usize, dims: usize) -> (LinearLayersConfig, TransformConfig) {
        (self.linear.config(self.constant), self.transform(index, dims))
    }
}

impl<C: Features<2>> LayerConfig<2, C> for NsfConfig {
    type Layer = NsfLayers;

    fn build(&self, site: &Site<2, C>) -> Result<NsfLayers, ConfigError> {
        self.plan(site)?;
        let dims = site.channels("Nsf")?;
        let step = |index| {
            let (between, transform) = self.step(index, dims);
            // The networks sample their initial weights before the matrices.
            let transform = transform.build(site)?;
            Ok((between.build(site)?, transform))
        };
        let steps = (0..self.n_steps).map(step).collect::<Result<_, ConfigError>>()?;
        Ok((steps, self.linear.config(self.constant).build(site)?))
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        const NAME: &str = "NsfConfig";
        ConfigError::repeated(NAME, "n_steps", self.n_steps)?;
        let dims = site.channels("Nsf")?;
        let count = |index: usize| -> Result<usize, ConfigError> {
            let step = self.step(index, dims);
            Ok(site.keeps(0).then(&step, site, format_args!("[{index}]"))?.num_params)
        };
        let steps = alternating::num_params(self.n_steps, count)?;
        let last = self.linear.config(self.constant).plan(site)?.num_params;
        let sizes = [("dims", dims), ("n_steps", self.n_steps)];
        let total = ConfigError::parameters(NAME, sum([steps, last]), sizes)?;
        Ok(site.keeps(total))
    }
}
