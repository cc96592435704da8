//! Replay: a forward pass without a graph and a backward pass layer by layer, so that training does
//! not hold the graphs of all layers in memory.
//! ```text
//! forward    z = f_n ∘ … ∘ f_1 (x)                          no graph; the policy keeps some inputs
//! backward   for i = n, …, 1:   x_i kept, or f_i⁻¹(z_i)
//!                               (z_i, ln|det|_i) = f_i(x_i)   with a graph, of this layer alone
//!                               ∂L/∂x_i, ∂L/∂θ_i              from ∂L/∂z_i and ∂L/∂ln|det|
//! ```
//! Both passes together are called a *replay*. A [driver](crate::bijector::drive) takes it through
//! a single layer, or through the members of a composition. The [`GradientMemory`] policy
//! determines which inputs are kept; layers do not depend on it.

mod gradient_memory;
mod guard;
mod trail;

use std::fmt::Display;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType, Gradients, Tensor};

pub use gradient_memory::GradientMemory;
pub(crate) use guard::Verdict;
pub use guard::{DriftGuard, RecomputedLayer};
use trail::{Keeping, Trail};

use super::visit::layer_name;
use super::{Bijector, Direction};
use crate::context::Context;
use crate::tensor::graph::{constant, graph_device};

/// A point of the backward pass through a flow: the value at that point and the gradients of the
/// loss with respect to it.
#[derive(Debug, Clone)]
pub struct Cotangent<const D: usize> {
    /// Output of the map that the backward pass enters next.
    pub z: Tensor<D>,
    /// Gradient of the loss with respect to `z`.
    pub grad_z: Tensor<D>,
    /// Gradient of the loss with respect to the total log-determinant, `[batch]`. It is the same at
    /// every layer, since log-determinants add up.
    pub grad_log_det: Tensor<1>,
}

/// The state of a replay: the gradients collected so far, the kept values, and the place in the
/// stream of random draws.
///
/// The random draws of a leaf come from a seed that depends on the replay's seed and on the leaf's
/// place. After the leaf, the device's stream continues in a way that depends only on its state
/// before, as after a [`Seeded`](crate::random::Seeded) scope.
/// [`Flow::replay`](crate::Flow::replay) restores that state once, with one device-to-host copy; a
/// replay through a bijector alone does so at every leaf.
#[derive(Debug)]
pub struct Replay<C: Context> {
    /// Gradients of the parameters, by id.
    pub parameters: GradientsParams,
    /// Gradient of the condition.
    pub context: C::Gradient,
    /// Factor of the loss in the backward pass.
    pub(crate) loss_scale: f64,
    trail: Trail,
}

impl<C: Context> Replay<C> {
    /// A replay that keeps nothing and rebuilds every input. Its random layers sample from streams
    /// derived from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Keeping::Nothing)
    }

    /// A replay that keeps every layer's input.
    pub fn recomputing(seed: u64) -> Self {
        Self::with(seed, Keeping::Everything)
    }

    /// A replay that keeps the inputs that `guard` selects for update `phase`, and compares them.
    pub(crate) fn guarded(seed: u64, guard: DriftGuard, phase: u64) -> Self {
        Self::with(seed, Keeping::Checkpoints { guard, phase })
    }

    fn with(seed: u64, keeping: Keeping) -> Self {
        let (parameters, context) = (GradientsParams::new(), C::Gradient::default());
        Self { parameters, context, loss_scale: 1.0, trail: Trail::new(seed, keeping) }
    }

    /// A replay whose gradients are those of the loss times `factor`, as half-precision types need
    /// it.
    pub(crate) fn with_loss_scale(self, factor: f64) -> Self {
        Self { loss_scale: factor, ..self }
    }

    /// A replay within a scope that restores the caller's stream itself.
    pub(crate) fn within_scope(mut self) -> Self {
        self.trail.within_scope();
        self
    }

    /// Runs a whole pass, then restores the caller's stream.
    pub(crate) fn scoped<T>(&mut self, device: &Device, pass: impl FnOnce(&mut Self) -> T) -> T {
        let outermost = self.trail.open(device);
        let result = pass(self);
        if outermost {
            self.trail.close();
        }
        result
    }

    /// Seeds the device for the next leaf and moves on. A driver calls it once for each leaf,
    /// first, and [`Replay::release`] last.
    pub fn enter(&mut self, device: &Device) {
        self.trail.enter(device);
    }

    /// Passes the input of the leaf that was entered last to the replay. The policy determines
    /// whether it is kept.
    pub fn keep<const D: usize>(&mut self, x: &Tensor<D>) {
        if self.trail.keeps() {
            self.trail.keep(x.clone().inner());
        }
    }

    /// Keeps a value of the leaf that was entered last, under every policy, for
    /// [`Replay::stashed`]. It is meant for a value that no inverse can rebuild.
    pub fn stash<T: Send + 'static>(&mut self, value: T) {
        self.trail.keep(value);
    }

    /// Steps back to the leaf that was entered last, and seeds the device as it was then. A driver
    /// calls it once for each leaf, first, and [`Replay::release`] last.
    pub fn leave(&mut self, device: &Device) {
        self.trail.leave(device);
    }

    /// The input of the leaf that was left last, a plain tensor: the one that [`Replay::keep`]
    /// kept, or else the result of `rebuild`. If the policy requires both, they are compared.
    /// Random draws of `rebuild` advance the device's stream; [`Replay::seed`] resets it.
    pub fn input<const D: usize, B>(
        &mut self,
        layer: &B,
        rebuild: impl FnOnce() -> Tensor<D>,
    ) -> Tensor<D> {
        let _ = layer;
        self.trail.input(layer_name::<B>(Direction::Forward), rebuild)
    }

    /// The backward pass of the layer that was left last, for any layer: the map in `direction`
    /// runs with a graph, from its input, and is differentiated. It takes the memory of one layer.
    pub fn differentiate<const D: usize, B: Bijector<D, C>>(
        &mut self,
        layer: &B,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
    ) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let device = graph_device(layer, &z);
        let rebuild = || direction.undo(layer, constant(z, &device), context).inner();
        let x = self.trail.input(layer_name::<B>(direction), rebuild);
        self.seed(&device);
        let leaf = constant(x.clone(), &device).require_grad();
        let condition = context.leaf(&device);
        let (z, log_det) = direction.run(layer, leaf.clone(), &condition);
        let outward = (z * constant(grad_z, &device)).sum()
            + (log_det * constant(grad_log_det.clone(), &device)).sum();
        let mut gradients = outward.backward();
        // The leaf reaches the loss through z, since a bijection depends on every input. A missing
        // entry counts as zero.
        let grad_x = leaf.grad_remove(&mut gradients).unwrap_or_else(|| x.zeros_like());
        self.collect(layer, &condition, &mut gradients);
        Cotangent { z: x, grad_z: grad_x, grad_log_det }
    }

    /// The value that [`Replay::stash`] kept for the leaf that was left last, or `None` if there is
    /// none of this type.
    pub fn stashed<T: 'static>(&mut self) -> Option<T> {
        self.trail.stashed()
    }

    /// Seeds the device for the leaf at this place again.
    pub fn seed(&mut self, device: &Device) {
        self.trail.seed(device);
    }

    /// Restores the caller's random stream at the end of a leaf. Without this call the replay's
    /// stream stays in place until the surrounding composition, or the replay itself, ends.
    pub fn release(&mut self) {
        self.trail.release();
    }

    /// Runs a part of the replay under a further name, for reports. Compositions name their members
    /// as [`Visit`](crate::bijector::visit::Visit) does. Without a name, only the reports lack it.
    pub fn within<T>(&mut self, name: impl Display, replay: impl FnOnce(&mut Self) -> T) -> T {
        self.trail.push_name(name.to_string());
        let result = replay(self);
        self.trail.pop_name();
        self.trail.release();
        result
    }

    /// Runs a part of the replay under another condition. Returns the gradient of that condition
    /// too.
    pub fn conditioned<E: Context, T>(
        &mut self,
        replay: impl FnOnce(&mut Replay<E>) -> T,
    ) -> (T, E::Gradient) {
        let (parameters, trail) =
            (std::mem::take(&mut self.parameters), std::mem::take(&mut self.trail));
        let loss_scale = self.loss_scale;
        let mut inner = Replay { parameters, context: E::Gradient::default(), loss_scale, trail };
        let result = replay(&mut inner);
        let Replay { parameters, context, trail, .. } = inner;
        (self.parameters, self.trail) = (parameters, trail);
        (result, context)
    }

    /// Takes the gradients of a layer's parameters and of the condition `leaf`, made by
    /// [`Context::leaf`], out of `gradients` and adds them to those of the replay.
    pub fn collect<M: Module>(&mut self, layer: &M, leaf: &C, gradients: &mut Gradients) {
        C::collect(leaf, gradients, &mut self.context);
        layer.visit(&mut Collect { gradients, into: &mut self.parameters });
    }

    /// Passes the comparisons to a guard. One device-to-host copy; `Err` holds the device's report.
    pub(crate) fn examine(&mut self, guard: &mut DriftGuard) -> Result<Verdict, String> {
        let drifts = std::mem::take(&mut self.trail.drifts);
        let mut sizes = Vec::with_capacity(drifts.len());
        if !drifts.is_empty() {
            let all = Tensor::cat(drifts.iter().map(|drift| drift.size.clone()).collect(), 0);
            sizes.extend(all.try_into_data().map_err(|error| error.to_string())?.iter::<f64>());
        }
        Ok(guard.examine(&drifts.into_iter().zip(sizes).collect::<Vec<_>>()))
    }
}

/// `factor·loss`, without a node on the graph for a factor of 1.
pub(crate) fn scaled(loss: Tensor<1>, factor: f64) -> Tensor<1> {
    if factor == 1.0 { loss } else { loss.mul_scalar(factor) }
}

/// Gradients by the id of their parameter, summed over all places of the parameter.
pub(crate) fn parameter_gradients<M: Module>(
    module: &M,
    mut gradients: Gradients,
) -> GradientsParams {
    let mut into = GradientsParams::new();
    module.visit(&mut Collect { gradients: &mut gradients, into: &mut into });
    into
}

struct Collect<'a> {
    gradients: &'a mut Gradients,
    into: &'a mut GradientsParams,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const E: usize>(&mut self, param: &Param<Tensor<E>>) {
        // burn has no gradient for a tensor outside any graph.
        if !param.base().is_require_grad() {
            return;
        }
        if let Some(gradient) = param.val().grad_remove(self.gradients) {
            // A parameter that two layers share is visited twice.
            let sum = match self.into.remove::<E>(param.id) {
                Some(earlier) if earlier.dtype() == gradient.dtype() => earlier + gradient,
                // One of the places is in a network with a half-precision type.
                Some(earlier) => earlier.cast(FloatDType::F32) + gradient.cast(FloatDType::F32),
                None => gradient,
            };
            self.into.register(param.id, sum);
        }
    }
}
