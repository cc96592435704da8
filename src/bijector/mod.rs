//! The one trait of the crate: an invertible map with an exact log-determinant.

pub mod boxed;
pub mod compose;
pub mod multi_scale;
pub mod replay;
pub mod shape;
pub mod site;
pub mod stack_config;
pub mod visit;

pub use shape::ShapeMap;
pub use site::{LayerConfig, Plan, Site};
pub use stack_config::Boxed;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::{See, Visit};
use crate::context::Context;
use crate::error::{InitProblem, ShapeError};
use crate::tensor::graph::{constant, graph_device, without_graph};

/// An invertible map of tensors with `D` axes, given a condition `C`.
///
/// ```text
/// forward   z = f(x | context)          log_det = ln |det ∂z/∂x|      [batch], nats
/// inverse   x = f⁻¹(z | context)        log_det = ln |det ∂x/∂z|      [batch], nats
/// ```
///
/// Data is `x`, latents are `z`; the first axis is the batch. An unconditional bijector is implemented for every `C: Context` and
/// ignores it; one that uses a condition is implemented for that condition alone. Bijectors are burn modules: their parameters are
/// visited, saved, loaded and moved like those of any other.
///
/// A bijector of your own needs `forward`, `inverse` and [`ShapeMap::output_shape`]; the rest has defaults that work.
pub trait Bijector<const D: usize, C: Context = ()>: ShapeMap<D> + Module + ModuleDisplay + 'static {
    /// Maps data to latents.
    ///
    /// # Shapes
    /// `x [batch, ...]` to `(z [batch, ...], log_det [batch])`.
    ///
    /// # Panics
    /// If [`ShapeMap::output_shape`] is an error for the shape of `x`.
    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>);

    /// Maps latents to data. Elements that have no inverse in the tensor's precision come back as NaN, never as a guess.
    ///
    /// # Panics
    /// If [`ShapeMap::input_shape`] is an error for the shape of `z`.
    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D>;

    /// [`Bijector::inverse`] with its own log-determinant, the negative of forward's at the same point.
    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let x = self.inverse(z, context);
        let (_, log_det) = self.forward(x.clone(), context);
        (x, log_det.neg())
    }

    /// Whether this map was built for a condition of the kind `C`. The default accepts every kind, and compositions ask
    /// their members.
    fn accepts(&self) -> Result<(), ShapeError> {
        Ok(())
    }

    /// [`ShapeMap::output_shape`] beside an actual condition, whose widths and batch are checked too. Compositions ask their members; the
    /// default serves maps that ignore the condition.
    fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
        let _ = context;
        self.output_shape(shape)
    }

    /// Data-dependent start: sets parameters from a batch and returns the image of the batch, detached from the graph.
    ///
    /// Consumes and returns the module, so that a start can neither happen twice by accident nor hide inside `forward`.
    /// Parameters that the batch does not determine become NaN, never a guess. `initialize` of [`crate::Uninit`]
    /// turns them into an error that names the layer.
    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        let (z, _) = self.forward(x, context);
        (self, z.detach())
    }

    /// Why the start from `x` left this layer with parameters that are not finite. It is called only after such a
    /// start. The default gives no reason, and the error then names the parameter.
    fn init_problem(&self, x: &Tensor<D>, context: &C) -> Option<InitProblem> {
        let _ = (x, context);
        None
    }

    /// Runs a batch through the layers one at a time and shows each to the visitor of `walk`. Returns what the visitor made of the last.
    ///
    /// Compositions pass on to their members by [`Visit::member`]; by default a bijector is one layer.
    fn visit_layers(&self, x: Tensor<D>, context: &C, walk: &mut Visit<'_, D>) -> Tensor<D> {
        walk.leaf(self, x, context)
    }

    /// [`Bijector::forward`], which also names what arises on the way, and can say whether all of its numbers are finite: so a
    /// search for a fault tells a coupling's network from its law. By default nothing is named.
    fn forward_observed(&self, x: Tensor<D>, context: &C, see: See<'_>) -> (Tensor<D>, Tensor<1>) {
        let _ = see;
        self.forward(x, context)
    }

    /// Forward without keeping a graph, for a backward that walks back by inverses. Compositions walk through their members.
    ///
    /// `x` and the result are plain tensors. Random layers (dropout) draw from a stream that depends on the walk's seed
    /// and the layer's place in it, so that [`Bijector::walk_back`] sees the same draws. The caller's random stream is
    /// restored after the layer ([`Replay`]).
    fn walk_forward(&self, x: Tensor<D>, context: &C, walk: &mut Replay<C>) -> (Tensor<D>, Tensor<1>) {
        let device = graph_device(self, &x);
        walk.enter(&device);
        walk.keep(&x);
        let condition = context.constant(&device);
        let (z, log_det) = without_graph(self).forward(constant(x, &device), &condition);
        walk.release();
        (z.inner(), log_det.inner())
    }

    /// Walks back through this map: from `z` and the gradients there to `x` and the gradient there, collecting the gradients of
    /// parameters and condition in `walk`. Compositions walk through their members in reverse.
    ///
    /// The default takes `x` from the walk, which kept it or has it rebuilt by the inverse, runs this layer alone with a graph and
    /// differentiates it: memory is that of one layer.
    fn walk_back(&self, back: Cotangent<D>, context: &C, walk: &mut Replay<C>) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let device = graph_device(self, &z);
        walk.leave(&device);
        let x = walk.input(self, || self.inverse(constant(z, &device), context).inner());
        walk.seed(&device);
        let leaf = constant(x.clone(), &device).require_grad();
        let condition = context.leaf(&device);
        let (z, log_det) = self.forward(leaf.clone(), &condition);
        let outward = (z * constant(grad_z, &device)).sum() + (log_det * constant(grad_log_det.clone(), &device)).sum();
        let mut gradients = outward.backward();
        // The leaf reaches the loss through z, since a bijection depends on every input; a missing entry would be a zero.
        let grad_x = leaf.grad_remove(&mut gradients).unwrap_or_else(|| x.zeros_like());
        walk.collect(self, &condition, &mut gradients);
        walk.release();
        Cotangent { z: x, grad_z: grad_x, grad_log_det }
    }
}
