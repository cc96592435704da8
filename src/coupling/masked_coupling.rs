//! Masked coupling: any set of elements passes unchanged and tells a network how the others are transformed, where they are.
//! ```text
//! m in {0, 1}: 1 for kept elements         theta = conditioner(m·x, context), for every element
//! forward   z = x where m, law(x; theta) elsewhere                 log_det  Σ_{m=0} ln ∂z/∂x of the law
//! inverse   x = z where m, law⁻¹(z; theta(m·z)) elsewhere
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `kept` | indices of the elements with `m = 1`, row by row | `[K]`, integers | no |
//! | `changed` | those of the others | `[dims − K]`, integers | no |
//!
//! The network sees the whole example with zeros in place of what changes, and gives parameters for the whole example; those of kept elements
//! are not used. So one network serves any mask, and nothing moves: [`crate::Coupling`] with a [`crate::Partition`] takes half of
//! the numbers through the network instead. Two couplings with the same [`Mask`] and the two [`Half`]s change everything.
//!
//! The indices are integer parameters, saved with the others: a checkpoint keeps the mask that it was trained with.
//!
//! # Numerics
//! The law only meets elements that change: a kept one that it could not take, or solve for, is no NaN in a gradient.
//!
//! # Reference
//! Dinh et al. 2017 §3.4.
//!
//! # Example
//! ```
//! use burn::module::Module;
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm, Law};
//! use flowkit::{Bijector, Conditioner, NetShape, ConfigError, Mask, MaskedCouplingConfig, ShapeError, ThetaInit};
//!
//! /// Shifts every number by the sum of the kept ones.
//! #[derive(Module, Debug)]
//! struct Sum {}
//! impl ThetaInit for Sum {
//!     fn init_at<L: Law>(self, _: &L) -> Result<Self, ConfigError> {
//!         Ok(self)
//!     }
//! }
//! impl NetShape<2> for Sum {
//!     fn check(&self, _: [usize; 2], _: [usize; 2], _: usize) -> Result<(), ShapeError> {
//!         Ok(())
//!     }
//! }
//!
//! impl Conditioner<2> for Sum {
//!     fn forward(&self, kept: Tensor<2>, _: &()) -> Tensor<3> {
//!         let [batch, dims] = kept.dims();
//!         kept.sum_dim(1).reshape([batch, 1, 1]).expand([batch, 1, dims])
//!     }
//! }
//!
//! let device = Device::flex();
//! let mask = Mask::Explicit(vec![true, false, true]);
//! let law = AffineConfig::new(AffineForm::Additive).init();
//! let coupling = MaskedCouplingConfig::new(vec![3], mask).init(law, Sum {}, &device);
//! let x = Tensor::<2>::from_data([[1.0, 2.0, 4.0]], &device);
//! let (z, log_det) = coupling.forward(x.clone(), &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[1.0, 7.0, 4.0]], &device).to_data());
//! assert_eq!(log_det.into_scalar::<f32>(), 0.0);
//! assert_eq!(coupling.inverse(z, &()).to_data(), x.to_data());
//! ```

use burn::config::Config;
use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Mask;
use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::See;
use crate::bijector::{Bijector, Leaf, ShapeMap};
use crate::conditioner::{Conditioner, NetShape, ThetaInit};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape};
use crate::law::Law;
use crate::reshape::permutation::inverse_order;
use crate::tensor::finite::all_finite;
use crate::tensor::graph::{constant, graph_device};
use crate::tensor::half::Half;
use crate::tensor::per_example::{flatten, sum_event};

/// Most elements of an example: the layer holds an index of 8 bytes for each, 8 GiB for as many as this.
const MOST_ELEMENTS: usize = 1 << 30;

/// Configuration of [`MaskedCoupling`].
#[derive(Config, Debug)]
pub struct MaskedCouplingConfig {
    /// Shape of an example, without the batch axis: `[numbers]`, or `[channels, height, width]`.
    pub shape: Vec<usize>,
    /// How its elements are divided.
    pub mask: Mask,
    /// The half of the mask that passes unchanged.
    #[config(default = "Half::First")]
    pub kept: Half,
}

impl MaskedCouplingConfig {
    /// Whether the configuration describes a coupling.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "MaskedCouplingConfig";
        if self.shape.is_empty() || self.shape.contains(&0) {
            return Err(ShapeError::Empty { layer: "MaskedCoupling", shape: self.shape.clone() }.into());
        }
        let total = self.shape.iter().fold(1, |total: usize, &length| total.saturating_mul(length));
        ConfigError::at_most(NAME, "shape", total, MOST_ELEMENTS)?;
        if let Mask::Explicit(mask) = &self.mask
            && mask.len() != total
        {
            return Err(ConfigError::Length { config: NAME, field: "mask", expected: total, found: mask.len() });
        }
        let first = self.mask.first_half_size(&self.shape);
        let kept = if self.kept == Half::First { first } else { total - first };
        if kept == 0 || kept == total {
            return Err(ConfigError::OneSided { config: NAME, kept, total });
        }
        Ok(())
    }

    /// Indices of the kept elements and of those that change.
    fn elements(&self) -> (Vec<i64>, Vec<i64>) {
        let first = self.mask.first_half(&self.shape);
        (0..first.len() as i64).partition(|&element| first[element as usize] == (self.kept == Half::First))
    }

    /// The coupling of `law`, with parameters from `conditioner`, which start at the law's start ([`ThetaInit`]).
    ///
    /// # Panics
    /// If [`MaskedCouplingConfig::validate`] is an error, or the network does not fit the law.
    /// [`MaskedCouplingConfig::try_init`] returns the error.
    pub fn init<L: Law, N: ThetaInit>(&self, law: L, conditioner: N, device: &Device) -> MaskedCoupling<L, N> {
        match self.try_init(law, conditioner, device) {
            Ok(coupling) => coupling,
            Err(error) => panic!("{error}"),
        }
    }

    /// The coupling, or why the configuration describes none.
    ///
    /// # Errors
    /// That of [`MaskedCouplingConfig::validate`], and those of [`ThetaInit::init_at`].
    pub fn try_init<L: Law, N: ThetaInit>(
        &self,
        law: L,
        conditioner: N,
        device: &Device,
    ) -> Result<MaskedCoupling<L, N>, ConfigError> {
        self.validate()?;
        let conditioner = conditioner.init_at(&law)?;
        let (kept, changed) = self.elements();
        let fixed = |indices: Vec<i64>| {
            let n = indices.len();
            Param::initialized(ParamId::new(), Tensor::<1, Int>::from_data(TensorData::new(indices, [n]), device))
        };
        let shape = self.shape.clone();
        Ok(MaskedCoupling { law, conditioner, kept: fixed(kept), changed: fixed(changed), shape })
    }
}

/// Coupling with a mask. The formulas head this module.
#[derive(Module, Debug)]
pub struct MaskedCoupling<L, N> {
    /// The law of the elements that change.
    pub law: L,
    /// The network that gives its parameters, for every element.
    pub conditioner: N,
    /// Indices of the elements that pass unchanged, `[K]`.
    pub kept: Param<Tensor<1, Int>>,
    /// Indices of the elements that change, `[dims − K]`.
    pub changed: Param<Tensor<1, Int>>,
    #[module(skip)]
    shape: Vec<usize>,
}

/// A batch taken apart.
struct Parts {
    kept: Tensor<2>,
    changed: Tensor<2>,
    /// Where each element is in `[kept, changed]`.
    places: Tensor<1, Int>,
}

impl Parts {
    /// The batch with other numbers in place of those that change.
    fn join<const D: usize>(&self, changed: Tensor<2>, dims: [usize; D]) -> Tensor<D> {
        Tensor::cat(vec![self.kept.clone(), changed], 1).select(1, self.places.clone()).reshape(dims)
    }

    /// What the network sees: zeros in place of what changes.
    fn masked<const D: usize>(&self, dims: [usize; D]) -> Tensor<D> {
        self.join(self.changed.zeros_like(), dims)
    }
}

impl<L, N> MaskedCoupling<L, N> {
    fn parts<const D: usize>(&self, x: Tensor<D>) -> Parts {
        let x = flatten(x);
        let (kept, changed) = (self.kept.val(), self.changed.val());
        let places = inverse_order(Tensor::cat(vec![kept.clone(), changed.clone()], 0));
        Parts { kept: x.clone().select(1, kept), changed: x.select(1, changed), places }
    }
}

impl<const D: usize, L, N> ShapeMap<D> for MaskedCoupling<L, N>
where
    L: Law,
    N: NetShape<D>,
{
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        check_event("MaskedCoupling", &self.shape, shape)?;
        self.conditioner.check(shape, shape, self.law.n_params())?;
        Ok(shape)
    }
}

impl<const D: usize, C, L, N> Bijector<D, C> for MaskedCoupling<L, N>
where
    C: Context,
    L: Law,
    N: Conditioner<D, C>,
{
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        self.forward_observed(x, context, &mut |_, _| {})
    }

    fn forward_observed(&self, x: Tensor<D>, context: &C, see: See<'_>) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let dims = x.dims();
        let parts = self.parts(x);
        let theta = self.conditioner.forward(parts.masked(dims), context).select(2, self.changed.val());
        see("conditioner", &|| all_finite(&theta));
        let (z, log_derivative) = self.law.forward(parts.changed.clone(), theta);
        (parts.join(z, dims), sum_event(log_derivative))
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        check_shape(self.output_shape_given(z.dims(), context));
        let dims = z.dims();
        let parts = self.parts(z);
        let theta = self.conditioner.forward(parts.masked(dims), context).select(2, self.changed.val());
        let x = self.law.inverse(parts.changed.clone(), theta);
        parts.join(x, dims)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(z.dims(), context));
        let dims = z.dims();
        let parts = self.parts(z);
        let theta = self.conditioner.forward(parts.masked(dims), context).select(2, self.changed.val());
        let (x, log_derivative) = self.law.inverse_with_log_derivative(parts.changed.clone(), theta);
        (parts.join(x, dims), sum_event(log_derivative))
    }

    /// As that of [`crate::Coupling`]: the network runs once, with a graph.
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let device = graph_device(self, &z);
        let condition = context.leaf(&device);
        let dims = z.dims();
        let Parts { kept, changed: z_changed, places } = self.parts(z);
        let kept_leaf = constant(kept.clone(), &device).require_grad();
        let leaves =
            Parts { kept: kept_leaf.clone(), changed: constant(z_changed.clone(), &device), places: places.clone() };
        let theta = self.conditioner.forward(leaves.masked(dims), &condition).select(2, self.changed.val());
        let whole = Parts { kept, changed: z_changed.clone(), places };
        let x = replay.input(self, || whole.join(self.law.inverse(z_changed, theta.clone().inner()), dims));
        let changed = constant(self.parts(x.clone()).changed, &device).require_grad();
        let (z_changed, log_derivative) = self.law.forward(changed.clone(), theta);
        let grads = self.parts(grad_z);
        let log_det = sum_event(log_derivative);
        let outward = (z_changed * constant(grads.changed, &device)).sum()
            + (log_det * constant(grad_log_det.clone(), &device)).sum();
        let mut gradients = outward.backward();
        let Some(through_changed) = changed.grad_remove(&mut gradients) else {
            unreachable!("a law depends on its input")
        };
        // A network may ignore what it is given.
        let kept = match kept_leaf.grad_remove(&mut gradients) {
            Some(through_network) => grads.kept + through_network,
            None => grads.kept,
        };
        replay.collect(self, &condition, &mut gradients);
        let grad_z = Parts { kept, changed: through_changed.clone(), places: grads.places }.join(through_changed, dims);
        Cotangent { z: x, grad_z, grad_log_det }
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.conditioner.accepts()
    }

    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        self.conditioner.check_context(shape, context)
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let dims = x.dims();
        let parts = self.parts(x);
        let (conditioner, theta) = self.conditioner.initialize(parts.masked(dims), context);
        let (z, _) = self.law.forward(parts.changed.clone(), theta.select(2, self.changed.val()));
        let Self { law, kept, changed, shape, .. } = self;
        (Self { law, conditioner, kept, changed, shape }, parts.join(z, dims).detach())
    }
}
