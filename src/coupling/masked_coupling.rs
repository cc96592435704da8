//! Masked coupling: any set of elements passes unchanged and determines, through a network, how the
//! others are transformed.
//! ```text
//! m in {0, 1}: 1 on the identity half         theta = conditioner(m·x, context), for every element
//! forward   z = x where m, law(x; theta) elsewhere
//! inverse   x = z where m, law⁻¹(z; theta(m·z)) elsewhere
//! log_det   Σ_{m=0} ln ∂z/∂x of the law
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `identity` | indices of the elements with `m = 1`, in row-major order | `[K]`, integers | no |
//! | `transformed` | indices of the other elements | `[dims − K]`, integers | no |
//!
//! The network reads the whole example, with zeros in place of the transformed elements, and
//! computes parameters for the whole example; those of the identity half are not used. One network
//! therefore works with any mask, and no element moves. [`crate::Coupling`] with a
//! [`crate::Partition`] passes only half of the elements through the network instead. Two couplings
//! with the same [`Mask`] and the two [`Half`]s transform every element.
//!
//! The indices are integer parameters, saved with the others: a checkpoint keeps the mask that it
//! was trained with.
//!
//! # Numerics
//! The law is applied to transformed elements only. An element of the identity half that is outside
//! the law's domain, or that the law cannot invert, therefore causes no NaN in a gradient.
//!
//! # Reference
//! Dinh et al. 2017 §3.4.
//!
//! # Example
//! ```
//! use burn::module::Module;
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm};
//! use flowkit::{
//!     Bijector, ConfigError, LayerConfig, Mask, MaskedCouplingConfig, Net, NetConfig, NetSite,
//!     Site,
//! };
//!
//! /// Shifts every element by the sum of the identity half.
//! #[derive(Module, Debug)]
//! struct Sum {}
//!
//! impl Net<2> for Sum {
//!     fn forward(&self, identity: Tensor<2>, _: Option<Tensor<2>>) -> Tensor<3> {
//!         let [batch, dims] = identity.dims();
//!         identity.sum_dim(1).reshape([batch, 1, 1]).expand([batch, 1, dims])
//!     }
//! }
//!
//! /// There is nothing to choose.
//! struct SumConfig;
//!
//! impl NetConfig<2> for SumConfig {
//!     type Net = Sum;
//!
//!     fn build(&self, _: &NetSite<2>) -> Result<Sum, ConfigError> {
//!         Ok(Sum {})
//!     }
//! }
//!
//! let device = Device::flex();
//! let mask = Mask::Explicit(vec![true, false, true]);
//! let config =
//!     MaskedCouplingConfig::new(AffineConfig::new(AffineForm::Additive), SumConfig, mask);
//! let coupling = config.build(&Site::new([1, 3], &device))?;
//! let x = Tensor::<2>::from_data([[1.0, 2.0, 4.0]], &device);
//! let (z, log_det) = coupling.forward(x.clone(), &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[1.0, 7.0, 4.0]], &device).to_data());
//! assert_eq!(log_det.into_scalar::<f32>(), 0.0);
//! assert_eq!(coupling.inverse(z, &()).to_data(), x.to_data());
//! # Ok::<(), ConfigError>(())
//! ```

use burn::config::Config;
use burn::module::{Content, Module, ModuleDisplay, Param, ParamId};
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::Mask;
use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Observer;
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::conditioner::{Conditioned, Net, NetConfig, NetSite, theta_init};
use crate::context::Features;
use crate::error::{ConfigError, ShapeError, check_event, check_shape};
use crate::law::{Law, LawConfig};
use crate::reshape::permutation::inverse_order;
use crate::tensor::finite::all_finite;
use crate::tensor::graph::{constant, graph_device};
use crate::tensor::half::Half;
use crate::tensor::index_list::IndexList;
use crate::tensor::limit::{per_example, sum};
use crate::tensor::per_example::{flatten, sum_event};

/// Largest number of elements of an example. The layer holds an index of 8 bytes for each: 8 GiB at
/// this number.
const MOST_ELEMENTS: usize = 1 << 30;

const NAME: &str = "MaskedCouplingConfig";

/// Configuration of [`MaskedCoupling`]: the law, the network and the mask. All widths are derived
/// from the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskedCouplingConfig<L, N> {
    /// The law of the transformed elements.
    pub law: L,
    /// The network that computes its parameters.
    pub net: N,
    /// How the elements of an example are divided into two halves.
    pub mask: Mask,
    /// The half of the mask that passes unchanged.
    #[serde(default = "Half::first")]
    pub identity: Half,
    /// Initial parameters of the law: one value for each parameter, the same for every element.
    /// `None`: those of the law ([`Law::theta_init`]).
    #[serde(default)]
    pub theta_init: Option<Vec<f64>>,
}

impl<L: Config, N: Config> Config for MaskedCouplingConfig<L, N> {}

impl<L, N> MaskedCouplingConfig<L, N> {
    /// The first half of the mask passes unchanged, and the law defines its initial parameters.
    pub fn new(law: L, net: N, mask: Mask) -> Self {
        Self { law, net, mask, identity: Half::First, theta_init: None }
    }

    /// The same, where `identity` passes unchanged.
    pub fn with_identity(self, identity: Half) -> Self {
        Self { identity, ..self }
    }

    /// The same with other initial parameters of the law.
    pub fn with_theta_init(self, theta_init: Option<Vec<f64>>) -> Self {
        Self { theta_init, ..self }
    }

    /// Checks that the mask divides examples of shape `shape[1..]`.
    fn check_mask<const D: usize>(&self, shape: [usize; D]) -> Result<(), ConfigError> {
        let example = &shape[1..];
        if example.is_empty() || example.contains(&0) {
            return Err(ShapeError::Empty { layer: "MaskedCoupling", shape: shape.to_vec() }.into());
        }
        let total = per_example(shape);
        ConfigError::at_most(NAME, "shape", total, MOST_ELEMENTS)?;
        if let Mask::Explicit(mask) = &self.mask
            && mask.len() != total
        {
            return Err(ConfigError::Length {
                config: NAME,
                field: "mask",
                expected: total,
                found: mask.len(),
            });
        }
        let first = self.mask.first_half_size(example);
        let identity = if self.identity == Half::First { first } else { total - first };
        if identity == 0 || identity == total {
            return Err(ConfigError::OneSided { config: NAME, identity, total });
        }
        Ok(())
    }

    /// Indices of the elements of the identity half and of the transformed elements.
    fn elements(&self, example: &[usize]) -> (Vec<i64>, Vec<i64>) {
        let first = self.mask.first_half(example);
        (0..first.len() as i64)
            .partition(|&element| first[element as usize] == (self.identity == Half::First))
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
        self.check_mask(shape)?;
        let law = self.law.build().map_err(|error| error.at(".law"))?;
        let start = theta_init::of(NAME, &self.theta_init, &law)?;
        Ok((
            law,
            NetSite::new(shape, shape, start, site.device()).with_context(site.context().clone()),
        ))
    }
}

impl<const D: usize, C, L, N> LayerConfig<D, C> for MaskedCouplingConfig<L, N>
where
    C: Features<D>,
    L: LawConfig,
    N: NetConfig<D>,
{
    type Layer = MaskedCoupling<L::Law, N::Net>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
        let (law, net) = self.parts(site)?;
        self.net.num_params(&net).map_err(|error| error.at(".net"))?;
        let shape = site.shape()[1..].to_vec();
        let (identity, transformed) = self.elements(&shape);
        let conditioner = Conditioned::build_for(&self.net, &net, &law, Some(&transformed));
        let conditioner = conditioner.map_err(|error| error.at(".net"))?;
        let fixed = |indices: Vec<i64>| {
            let n = indices.len();
            let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [n]), site.device());
            Param::initialized(ParamId::new(), indices)
        };
        Ok(MaskedCoupling {
            law,
            conditioner,
            identity: fixed(identity),
            transformed: fixed(transformed),
            shape,
        })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let (law, net) = self.parts(site)?;
        let net = self.net.num_params(&net).map_err(|error| error.at(".net"))?;
        Ok(Plan { output: site.shape(), num_params: sum([law.num_params(), net]) })
    }
}

/// Coupling with a mask. The formulas head this module.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct MaskedCoupling<L, N> {
    /// The law of the transformed elements.
    pub law: L,
    /// The network that computes its parameters, for every element.
    pub conditioner: Conditioned<N>,
    /// Indices of the elements that pass unchanged, `[K]`.
    pub identity: Param<Tensor<1, Int>>,
    /// Indices of the transformed elements, `[dims − K]`.
    pub transformed: Param<Tensor<1, Int>>,
    #[module(skip)]
    shape: Vec<usize>,
}

/// The elements that pass unchanged are shown by the name of their mask, if they have one.
impl<L, N> ModuleDisplay for MaskedCoupling<L, N>
where
    L: Module + ModuleDisplay,
    N: Module + ModuleDisplay,
{
    fn custom_content(&self, content: Content) -> Option<Content> {
        let content = content
            .set_top_level_type("MaskedCoupling")
            .add("law", &self.law)
            .add("conditioner", &self.conditioner)
            .add_debug_attribute("shape", &self.shape);
        let identity = IndexList::of(&self.identity);
        let named = [Mask::Alternating, Mask::Checkerboard].into_iter().find_map(|mask| {
            let first = mask.first_half(&self.shape);
            let half = [Half::First, Half::Second].into_iter().find(|half| {
                let kept = (0..first.len()).filter(|&i| first[i] == (*half == Half::First));
                identity == IndexList::Read(kept.map(|index| index as i64).collect())
            });
            Some((mask, half?))
        });
        match named {
            Some((mask, half)) => {
                content.add_debug_attribute("mask", &mask).add_debug_attribute("identity", &half)
            }
            None => content
                .add_debug_attribute("identity", &identity)
                .add_debug_attribute("transformed", &IndexList::of(&self.transformed)),
        }
        .optional()
    }
}

/// A batch divided into its two halves.
struct Parts {
    identity: Tensor<2>,
    transformed: Tensor<2>,
    /// The position of each element in `[identity, transformed]`.
    places: Tensor<1, Int>,
}

impl Parts {
    /// The batch with other values in place of the transformed elements.
    fn join<const D: usize>(&self, transformed: Tensor<2>, dims: [usize; D]) -> Tensor<D> {
        Tensor::cat(vec![self.identity.clone(), transformed], 1)
            .select(1, self.places.clone())
            .reshape(dims)
    }

    /// The input of the network: zeros in place of the transformed elements.
    fn masked<const D: usize>(&self, dims: [usize; D]) -> Tensor<D> {
        self.join(self.transformed.zeros_like(), dims)
    }
}

impl<L, N> MaskedCoupling<L, N> {
    fn parts<const D: usize>(&self, x: Tensor<D>) -> Parts {
        let x = flatten(x);
        let (identity, transformed) = (self.identity.val(), self.transformed.val());
        let places = inverse_order(Tensor::cat(vec![identity.clone(), transformed.clone()], 0));
        Parts {
            identity: x.clone().select(1, identity),
            transformed: x.select(1, transformed),
            places,
        }
    }
}

impl<const D: usize, L, N> ShapeMap<D> for MaskedCoupling<L, N>
where
    L: Law,
    N: Net<D>,
{
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        check_event("MaskedCoupling", &self.shape, shape)?;
        self.conditioner.check(shape, shape)?;
        Ok(shape)
    }
}

impl<const D: usize, C, L, N> Bijector<D, C> for MaskedCoupling<L, N>
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
        let parts = self.parts(x);
        let theta =
            self.conditioner.forward(parts.masked(dims), context).select(2, self.transformed.val());
        observe("conditioner", &|| all_finite(&theta));
        let (z, log_derivative) = self.law.forward(parts.transformed.clone(), theta);
        (parts.join(z, dims), sum_event(log_derivative))
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        check_shape(self.output_shape_given(z.dims(), context));
        let dims = z.dims();
        let parts = self.parts(z);
        let theta =
            self.conditioner.forward(parts.masked(dims), context).select(2, self.transformed.val());
        let x = self.law.inverse(parts.transformed.clone(), theta);
        parts.join(x, dims)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(z.dims(), context));
        let dims = z.dims();
        let parts = self.parts(z);
        let theta =
            self.conditioner.forward(parts.masked(dims), context).select(2, self.transformed.val());
        let (x, log_derivative) =
            self.law.inverse_with_log_derivative(parts.transformed.clone(), theta);
        (parts.join(x, dims), sum_event(log_derivative))
    }

    /// As in [`crate::Coupling`], the network runs once, with a graph.
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let device = graph_device(self, &z);
        let condition = context.leaf(&device);
        let dims = z.dims();
        let Parts { identity, transformed: z_transformed, places } = self.parts(z);
        let identity_leaf = constant(identity.clone(), &device).require_grad();
        let leaves = Parts {
            identity: identity_leaf.clone(),
            transformed: constant(z_transformed.clone(), &device),
            places: places.clone(),
        };
        let theta = self
            .conditioner
            .forward(leaves.masked(dims), &condition)
            .select(2, self.transformed.val());
        let whole = Parts { identity, transformed: z_transformed.clone(), places };
        let x = replay.input(self, || {
            whole.join(self.law.inverse(z_transformed, theta.clone().inner()), dims)
        });
        let transformed = constant(self.parts(x.clone()).transformed, &device).require_grad();
        let (z_transformed, log_derivative) = self.law.forward(transformed.clone(), theta);
        let grads = self.parts(grad_z);
        let log_det = sum_event(log_derivative);
        let outward = (z_transformed * constant(grads.transformed, &device)).sum()
            + (log_det * constant(grad_log_det.clone(), &device)).sum();
        let mut gradients = outward.backward();
        let Some(through_transformed) = transformed.grad_remove(&mut gradients) else {
            unreachable!("a law depends on its input")
        };
        // A network may ignore its input.
        let identity = match identity_leaf.grad_remove(&mut gradients) {
            Some(through_network) => grads.identity + through_network,
            None => grads.identity,
        };
        replay.collect(self, &condition, &mut gradients);
        let grad_z =
            Parts { identity, transformed: through_transformed.clone(), places: grads.places }
                .join(through_transformed, dims);
        Cotangent { z: x, grad_z, grad_log_det }
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.conditioner.accepts::<D, C>()
    }

    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        self.conditioner.check_context(shape, context)
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let dims = x.dims();
        let parts = self.parts(x);
        let (conditioner, theta) = self.conditioner.initialize(parts.masked(dims), context);
        let (z, _) =
            self.law.forward(parts.transformed.clone(), theta.select(2, self.transformed.val()));
        let Self { law, identity, transformed, shape, .. } = self;
        (Self { law, conditioner, identity, transformed, shape }, parts.join(z, dims).detach())
    }
}
