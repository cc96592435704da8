//! Coupling: one half of the channels passes unchanged and determines, through a network, how the
//! other half is transformed.
//! ```text
//! x = (x_a, x_b) along axis 1              theta = conditioner(identity half, context)
//! forward   z_identity = x_identity,  z_transformed = law(x_transformed; theta)
//! inverse   x_transformed = law⁻¹(z_transformed; theta(z_identity))
//! log_det   Σ ln ∂z/∂x of the law
//! ```
//! The *identity half* is the half that passes unchanged; the conditioner is the network. The
//! Jacobian is triangular, with ones and the law's derivatives on its diagonal. The network is
//! never inverted. With an odd number of channels, the first half is the longer one.
//!
//! For halves that are stripes or a checkerboard, [`crate::Partition`] first moves them to the
//! channel axis; [`MaskedCoupling`] leaves every element in its place.
//!
//! # Reference
//! Dinh et al. 2017 §3.2; with the law [`MixLogCdf`](crate::law::MixLogCdf), Ho et al. 2019 §3.2.

pub mod mask;
pub mod masked_coupling;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::tensor::graph::{constant, graph_device};
use crate::tensor::half::Half;
pub use mask::Mask;
pub use masked_coupling::{MaskedCoupling, MaskedCouplingConfig};

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Observer;
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::conditioner::{Conditioned, Net, NetConfig, NetSite, theta_init};
use crate::context::Features;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::{Law, LawConfig};
use crate::tensor::finite::all_finite;
use crate::tensor::limit::sum;
use crate::tensor::per_example::{flatten, sum_event};

/// Configuration of [`Coupling`]: the law and the network. All widths are derived from the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouplingConfig<L, N> {
    /// The law of the transformed half.
    pub law: L,
    /// The network that computes its parameters.
    pub net: N,
    /// The half that passes unchanged.
    #[serde(default = "Half::first")]
    pub identity: Half,
    /// Initial parameters of the law: one value for each parameter, the same for every element.
    /// `None`: those of the law ([`Law::theta_init`]).
    #[serde(default)]
    pub theta_init: Option<Vec<f64>>,
}

impl<L: Config, N: Config> Config for CouplingConfig<L, N> {}

impl<L, N> CouplingConfig<L, N> {
    /// The first half passes unchanged, and the law defines its initial parameters.
    pub fn new(law: L, net: N) -> Self {
        Self { law, net, identity: Half::First, theta_init: None }
    }

    /// The same, where `identity` passes unchanged.
    pub fn with_identity(self, identity: Half) -> Self {
        Self { identity, ..self }
    }

    /// The same with other initial parameters of the law.
    pub fn with_theta_init(self, theta_init: Option<Vec<f64>>) -> Self {
        Self { theta_init, ..self }
    }

    /// The law, and the site of the network.
    fn parts<const D: usize, C: Features<D>>(
        &self,
        site: &Site<D, C>,
    ) -> Result<(L::Law, NetSite<D>), ConfigError>
    where
        L: LawConfig,
    {
        let shape = site.shape();
        if shape[1] < 2 {
            return Err(ShapeError::Short {
                layer: "Coupling",
                axis: 1,
                least: 2,
                shape: shape.to_vec(),
            }
            .into());
        }
        let law = self.law.build().map_err(|error| error.at(".law"))?;
        let start = theta_init::of("CouplingConfig", &self.theta_init, &law)?;
        let (identity, transformed) = half_shapes(self.identity, shape);
        let net = NetSite::new(identity, transformed, start, site.device())
            .with_context(site.context().clone());
        Ok((law, net))
    }
}

impl<const D: usize, C, L, N> LayerConfig<D, C> for CouplingConfig<L, N>
where
    C: Features<D>,
    L: LawConfig,
    N: NetConfig<D>,
{
    type Layer = Coupling<L::Law, N::Net>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
        let (law, net) = self.parts(site)?;
        let conditioner = Conditioned::build_for(&self.net, &net, &law, None)
            .map_err(|error| error.at(".net"))?;
        Ok(Coupling { law, conditioner, identity: self.identity })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let (law, net) = self.parts(site)?;
        let net = self.net.num_params(&net).map_err(|error| error.at(".net"))?;
        Ok(Plan { output: site.shape(), num_params: sum([law.num_params(), net]) })
    }
}

/// Coupling of a [`Law`] whose parameters a network ([`Net`]) computes. The formulas head this
/// module.
#[derive(Module, Debug)]
pub struct Coupling<L, N> {
    /// The law of the transformed half.
    pub law: L,
    /// The network that computes its parameters.
    pub conditioner: Conditioned<N>,
    #[module(skip)]
    identity: Half,
}

/// Shapes of the identity half and of the transformed half.
fn half_shapes<const D: usize>(identity: Half, shape: [usize; D]) -> ([usize; D], [usize; D]) {
    let half = |channels: usize| {
        std::array::from_fn(|axis| if axis == 1 { channels } else { shape[axis] })
    };
    let (identity, transformed) = identity.widths(shape[1]);
    (half(identity), half(transformed))
}

impl<const D: usize, L, N> ShapeMap<D> for Coupling<L, N>
where
    L: Law,
    N: Net<D>,
{
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        if shape[1] < 2 {
            return Err(ShapeError::Short {
                layer: "Coupling",
                axis: 1,
                least: 2,
                shape: shape.to_vec(),
            });
        }
        let (identity, transformed) = half_shapes(self.identity, shape);
        self.conditioner.check(identity, transformed)?;
        Ok(shape)
    }
}

impl<const D: usize, C, L, N> Bijector<D, C> for Coupling<L, N>
where
    C: Features<D>,
    L: Law,
    N: Net<D>,
{
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        self.forward_observed(x, context, &mut |_, _| {})
    }

    fn forward_observed(
        &self,
        x: Tensor<D>,
        context: &C,
        observe: Observer<'_>,
    ) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let dims = x.dims();
        let theta = self.conditioner.forward(self.identity.of(x.clone()), context);
        observe("conditioner", &|| all_finite(&theta));
        let (z, log_det) =
            self.law.forward_within(positions(x), theta, self.identity.other_range(dims[1]));
        (z.reshape(dims), log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        check_shape(self.output_shape_given(z.dims(), context));
        let dims = z.dims();
        let theta = self.conditioner.forward(self.identity.of(z.clone()), context);
        self.law
            .inverse_within(positions(z), theta, self.identity.other_range(dims[1]))
            .reshape(dims)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(z.dims(), context));
        let (identity, transformed) = self.identity.split(z);
        let dims = transformed.dims();
        let theta = self.conditioner.forward(identity.clone(), context);
        let (x, log_derivative) = self.law.inverse_with_log_derivative(flatten(transformed), theta);
        (self.identity.join(identity, x.reshape(dims)), sum_event(log_derivative))
    }

    /// The network reads the identity half, which need not be rebuilt. It runs once, with a graph,
    /// and the inverse of the law uses its output too.
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let device = graph_device(self, &z);
        let condition = context.leaf(&device);
        let dims = z.dims();
        let identity = constant(self.identity.of(z.clone()), &device).require_grad();
        let theta = self.conditioner.forward(identity.clone(), &condition);
        let range = self.identity.other_range(dims[1]);
        let inverse = || {
            self.law
                .inverse_within(positions(z), theta.clone().inner(), range.clone())
                .reshape(dims)
        };
        let x = replay.input(self, inverse);
        let leaf = constant(x.clone(), &device).require_grad();
        let (z, log_det) = self.law.forward_within(positions(leaf.clone()), theta, range);
        let outward = (z.reshape(dims) * constant(grad_z, &device)).sum()
            + (log_det * constant(grad_log_det.clone(), &device)).sum();
        let mut gradients = outward.backward();
        let Some(through_law) = leaf.grad_remove(&mut gradients) else {
            unreachable!("a coupling depends on its input")
        };
        // A network may ignore its input.
        let grad_x = match identity.grad_remove(&mut gradients) {
            Some(through_network) => {
                let (grad_identity, grad_transformed) = self.identity.split(through_law);
                self.identity.join(grad_identity + through_network, grad_transformed)
            }
            None => through_law,
        };
        replay.collect(self, &condition, &mut gradients);
        Cotangent { z: x, grad_z: grad_x, grad_log_det }
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.conditioner.accepts::<D, C>()
    }

    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        self.conditioner.check_context(half_shapes(self.identity, shape).0, context)
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (identity, transformed) = self.identity.split(x);
        let dims = transformed.dims();
        let (conditioner, theta) = self.conditioner.initialize(identity.clone(), context);
        let (z, _) = self.law.forward(flatten(transformed), theta);
        let started = Self { law: self.law, conditioner, identity: self.identity };
        let z = started.identity.join(identity, z.reshape(dims)).detach();
        (started, z)
    }
}

/// Flattens the positions of each channel: `[batch, channels, ...]` to
/// `[batch, channels, positions]`.
fn positions<const D: usize>(x: Tensor<D>) -> Tensor<3> {
    let dims = x.dims();
    x.reshape([dims[0], dims[1], dims[2..].iter().product()])
}
