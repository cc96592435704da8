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
use serde::{Deserialize, Serialize};

pub use mask::Mask;
pub use masked_coupling::{MaskedCoupling, MaskedCouplingConfig};

use crate::bijector::Bijector;
use crate::conditioner::Conditioner;
use crate::context::Context;
use crate::error::{ShapeError, check_shape};
use crate::event::{flatten, sum_event};
use crate::finite::all_finite;
use crate::graph::lift;
use crate::law::Law;
use crate::layer::See;
use crate::walk::{Cotangent, Walk, graph_device};

/// One half of the channel axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Half {
    /// Channels `0..⌈C/2⌉`.
    First,
    /// Channels `⌈C/2⌉..C`.
    Second,
}

impl Half {
    /// Channels of this half and of the other, out of `channels`: what a network for a coupling that keeps this half is built for.
    pub fn widths(self, channels: usize) -> (usize, usize) {
        let first = channels.div_ceil(2);
        match self {
            Self::First => (first, channels - first),
            Self::Second => (channels - first, first),
        }
    }
}

/// Configuration of [`Coupling`].
#[derive(Config, Debug)]
pub struct CouplingConfig {
    /// The half that passes unchanged.
    #[config(default = "Half::First")]
    pub kept: Half,
}

impl CouplingConfig {
    /// The coupling of `law`, with parameters from `conditioner`.
    pub fn init<L: Law, N>(&self, law: L, conditioner: N) -> Coupling<L, N> {
        Coupling { law, conditioner, kept: self.kept }
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
    /// The kept half and the other.
    fn split<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let channels = x.dims()[1];
        let n = channels.div_ceil(2);
        let (first, second) = (x.clone().narrow(1, 0, n), x.narrow(1, n, channels - n));
        match self.kept {
            Half::First => (first, second),
            Half::Second => (second, first),
        }
    }

    /// Shapes of the kept half and of the other.
    fn half_shapes<const D: usize>(&self, shape: [usize; D]) -> ([usize; D], [usize; D]) {
        let half = |channels: usize| std::array::from_fn(|axis| if axis == 1 { channels } else { shape[axis] });
        let (kept, other) = self.kept.widths(shape[1]);
        (half(kept), half(other))
    }

    fn join<const D: usize>(&self, kept: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
        match self.kept {
            Half::First => Tensor::cat(vec![kept, other], 1),
            Half::Second => Tensor::cat(vec![other, kept], 1),
        }
    }
}

impl<const D: usize, C, L, N> Bijector<D, C> for Coupling<L, N>
where
    C: Context,
    L: Law,
    N: Conditioner<D, C>,
{
    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        self.forward_observed(x, context, &mut |_, _| {})
    }

    fn forward_observed(&self, x: Tensor<D>, context: &C, see: See<'_>) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (kept, other) = self.split(x);
        let dims = other.dims();
        let theta = self.conditioner.forward(kept.clone(), context);
        see("conditioner", &|| all_finite(&theta));
        let (z, log_derivative) = self.law.forward(flatten(other), theta);
        (self.join(kept, z.reshape(dims)), sum_event(log_derivative))
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        check_shape(self.output_shape_given(z.dims(), context));
        let (kept, other) = self.split(z);
        let dims = other.dims();
        let theta = self.conditioner.forward(kept.clone(), context);
        let x = self.law.inverse(flatten(other), theta);
        self.join(kept, x.reshape(dims))
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape_given(z.dims(), context));
        let (kept, other) = self.split(z);
        let dims = other.dims();
        let theta = self.conditioner.forward(kept.clone(), context);
        let (x, log_derivative) = self.law.inverse_with_log_derivative(flatten(other), theta);
        (self.join(kept, x.reshape(dims)), sum_event(log_derivative))
    }

    /// The network sees the kept half, which needs no rebuilding: it runs once, with a graph, and serves the inverse of the law as well.
    fn walk_back(&self, back: Cotangent<D>, context: &C, walk: &mut Walk<C>) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let device = graph_device(self, &z);
        walk.leave(&device);
        let condition = context.leaf(&device);
        let (kept, z_other) = self.split(z);
        let dims = z_other.dims();
        let kept_leaf = lift(kept.clone(), &device).require_grad();
        let theta = self.conditioner.forward(kept_leaf.clone(), &condition);
        let x = walk.input(self, || {
            let other = self.law.inverse(flatten(z_other), theta.clone().inner());
            self.join(kept, other.reshape(dims))
        });
        let other = lift(flatten(self.split(x.clone()).1), &device).require_grad();
        let (z_other, log_derivative) = self.law.forward(other.clone(), theta);
        let (grad_kept, grad_other) = self.split(grad_z);
        let log_det = sum_event(log_derivative);
        let outward = (z_other * lift(flatten(grad_other), &device)).sum()
            + (log_det * lift(grad_log_det.clone(), &device)).sum();
        let mut gradients = outward.backward();
        let Some(through_other) = other.grad_remove(&mut gradients) else { unreachable!("a law depends on its input") };
        // A network may ignore what it is given.
        let grad_kept = match kept_leaf.grad_remove(&mut gradients) {
            Some(through_network) => grad_kept + through_network,
            None => grad_kept,
        };
        walk.collect(self, &condition, &mut gradients);
        Cotangent { z: x, grad_z: self.join(grad_kept, through_other.reshape(dims)), grad_log_det }
    }

    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        if shape[1] < 2 {
            return Err(ShapeError::Short { layer: "Coupling", axis: 1, least: 2, shape: shape.to_vec() });
        }
        let (kept, other) = self.half_shapes(shape);
        self.conditioner.check(kept, other, self.law.n_params())?;
        Ok(shape)
    }

    fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
        let output = Bijector::<D, C>::output_shape(self, shape)?;
        self.conditioner.check_context(self.half_shapes(shape).0, context)?;
        Ok(output)
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (kept, other) = self.split(x);
        let dims = other.dims();
        let (conditioner, theta) = self.conditioner.initialize(kept.clone(), context);
        let (z, _) = self.law.forward(flatten(other), theta);
        let started = Self { law: self.law, conditioner, kept: self.kept };
        let z = started.join(kept, z.reshape(dims)).detach();
        (started, z)
    }
}
