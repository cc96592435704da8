//! Coupling: one half of the channels passes unchanged and tells a network how the other half is transformed.
//! ```text
//! x = (x_a, x_b) along axis 1              theta = conditioner(kept half, context)
//! forward   z_kept = x_kept,  z_other = law(x_other; theta)        log_det  Σ ln ∂z/∂x of the law
//! inverse   x_other = law⁻¹(z_other; theta(z_kept))
//! ```
//! The Jacobian is triangular with the law's derivatives on the diagonal. The network is never inverted. With an odd number of channels
//! the first half is the longer one. [`crate::Partition`] brings stripes and checkerboards to the channel axis first; [`MaskedCoupling`] keeps any
//! set of elements where they are.
//!
//! # Reference
//! Dinh et al. 2017 §3.2; with the MixLogCDF law, Ho et al. 2019 §3.2.

pub mod mask;
pub mod masked_coupling;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;

use crate::tensor::graph::{constant, graph_device};
use crate::tensor::half::Half;
pub use mask::Mask;
pub use masked_coupling::{MaskedCoupling, MaskedCouplingConfig};

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::See;
use crate::bijector::{Bijector, Leaf, ShapeMap};
use crate::conditioner::{Conditioner, NetShape, ThetaInit};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::Law;
use crate::tensor::finite::all_finite;
use crate::tensor::per_example::{flatten, sum_event};

/// Configuration of [`Coupling`].
#[derive(Config, Debug)]
pub struct CouplingConfig {
    /// The half that passes unchanged.
    #[config(default = "Half::First")]
    pub kept: Half,
}

impl CouplingConfig {
    /// The coupling of `law`, with parameters from `conditioner`, which start at the law's start ([`ThetaInit`]).
    ///
    /// # Panics
    /// If the two do not fit. [`CouplingConfig::try_init`] returns the error.
    pub fn init<L: Law, N: ThetaInit>(&self, law: L, conditioner: N) -> Coupling<L, N> {
        match self.try_init(law, conditioner) {
            Ok(coupling) => coupling,
            Err(error) => panic!("{error}"),
        }
    }

    /// The coupling, or why law and network do not fit.
    ///
    /// # Errors
    /// Those of [`ThetaInit::init_at`].
    pub fn try_init<L: Law, N: ThetaInit>(&self, law: L, conditioner: N) -> Result<Coupling<L, N>, ConfigError> {
        let conditioner = conditioner.init_at(&law)?;
        Ok(Coupling { law, conditioner, kept: self.kept })
    }
}

/// Coupling of a [`Law`] whose parameters come from a [`Conditioner`]. The formulas head this module.
#[derive(Module, Debug)]
pub struct Coupling<L, N> {
    /// The law of the half that changes.
    pub law: L,
    /// The network that gives its parameters.
    pub conditioner: N,
    #[module(skip)]
    kept: Half,
}

impl<L, N> Coupling<L, N> {
    /// Shapes of the kept half and of the other.
    fn half_shapes<const D: usize>(&self, shape: [usize; D]) -> ([usize; D], [usize; D]) {
        let half = |channels: usize| std::array::from_fn(|axis| if axis == 1 { channels } else { shape[axis] });
        let (kept, other) = self.kept.widths(shape[1]);
        (half(kept), half(other))
    }
}

impl<const D: usize, L, N> ShapeMap<D> for Coupling<L, N>
where
    L: Law,
    N: NetShape<D>,
{
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        if shape[1] < 2 {
            return Err(ShapeError::Short { layer: "Coupling", axis: 1, least: 2, shape: shape.to_vec() });
        }
        let (kept, other) = self.half_shapes(shape);
        self.conditioner.check(kept, other, self.law.n_params())?;
        Ok(shape)
    }
}

impl<const D: usize, C, L, N> Bijector<D, C> for Coupling<L, N>
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
        let theta = self.conditioner.forward(self.kept.of(x.clone()), context);
        see("conditioner", &|| all_finite(&theta));
        let (z, log_det) = self.law.forward_within(positions(x), theta, self.kept.other_range(dims[1]));
        (z.reshape(dims), log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        check_shape(self.output_shape_given(z.dims(), context));
        let dims = z.dims();
        let theta = self.conditioner.forward(self.kept.of(z.clone()), context);
        self.law.inverse_within(positions(z), theta, self.kept.other_range(dims[1])).reshape(dims)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(z.dims(), context));
        let (kept, other) = self.kept.split(z);
        let dims = other.dims();
        let theta = self.conditioner.forward(kept.clone(), context);
        let (x, log_derivative) = self.law.inverse_with_log_derivative(flatten(other), theta);
        (self.kept.join(kept, x.reshape(dims)), sum_event(log_derivative))
    }

    /// The network sees the kept half, which needs no rebuilding: it runs once, with a graph, and serves the inverse of the law as well.
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let device = graph_device(self, &z);
        let condition = context.leaf(&device);
        let dims = z.dims();
        let kept = constant(self.kept.of(z.clone()), &device).require_grad();
        let theta = self.conditioner.forward(kept.clone(), &condition);
        let range = self.kept.other_range(dims[1]);
        let inverse = || self.law.inverse_within(positions(z), theta.clone().inner(), range.clone()).reshape(dims);
        let x = replay.input(self, inverse);
        let leaf = constant(x.clone(), &device).require_grad();
        let (z, log_det) = self.law.forward_within(positions(leaf.clone()), theta, range);
        let outward = (z.reshape(dims) * constant(grad_z, &device)).sum()
            + (log_det * constant(grad_log_det.clone(), &device)).sum();
        let mut gradients = outward.backward();
        let Some(through_law) = leaf.grad_remove(&mut gradients) else {
            unreachable!("a coupling depends on its input")
        };
        // A network may ignore what it is given.
        let grad_x = match kept.grad_remove(&mut gradients) {
            Some(through_network) => {
                let (grad_kept, grad_other) = self.kept.split(through_law);
                self.kept.join(grad_kept + through_network, grad_other)
            }
            None => through_law,
        };
        replay.collect(self, &condition, &mut gradients);
        Cotangent { z: x, grad_z: grad_x, grad_log_det }
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.conditioner.accepts()
    }

    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        self.conditioner.check_context(self.half_shapes(shape).0, context)
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (kept, other) = self.kept.split(x);
        let dims = other.dims();
        let (conditioner, theta) = self.conditioner.initialize(kept.clone(), context);
        let (z, _) = self.law.forward(flatten(other), theta);
        let started = Self { law: self.law, conditioner, kept: self.kept };
        let z = started.kept.join(kept, z.reshape(dims)).detach();
        (started, z)
    }
}

/// All positions of a channel in a row: `[batch, channels, ...]` to `[batch, channels, positions]`.
fn positions<const D: usize>(x: Tensor<D>) -> Tensor<3> {
    let dims = x.dims();
    x.reshape([dims[0], dims[1], dims[2..].iter().product()])
}
