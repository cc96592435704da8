//! The one trait of the crate: an invertible map with an exact log-determinant.

pub mod boxed;
pub mod chain;
pub mod choice;
pub mod compose;
pub mod drive;
pub mod invert;
pub mod multi_scale;
pub mod multi_scale_config;
pub mod replay;
pub mod shape;
pub mod site;
pub mod stack_config;
pub mod visit;

pub use chain::{Chain, Entry, Member, Members};
pub use drive::{Direction, Drive, Leaf, Rearrange};
pub use multi_scale_config::MultiScaleConfig;
pub use shape::ShapeMap;
pub use site::{LayerConfig, Plan, Site};
pub use stack_config::Boxed;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::{See, Visit};
use crate::context::Context;
use crate::error::{InitProblem, ShapeError};

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
/// A bijector of your own needs `forward`, `inverse`, [`ShapeMap::output_shape`] and `type Driver = Leaf;`, and may override
/// what a single layer can say better than a default: [`Bijector::inverse_with_log_det`], [`Bijector::initialize`],
/// [`Bijector::init_problem`], [`Bijector::forward_observed`], [`Bijector::accepts`], [`Bijector::check_context`] and
/// [`Bijector::pull_back`]. A composition is made by [`chain!`](crate::chain) or [`choice!`](crate::choice).
pub trait Bijector<const D: usize, C: Context = ()>: ShapeMap<D> + Module + ModuleDisplay + 'static {
    /// What drives it: [`Leaf`] for a layer, [`Rearrange`] for one that only moves elements, [`Chain`] for what has
    /// [`Members`].
    type Driver: Drive<Self, D, C>;

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

    /// Whether this map was built for a condition of the kind `C`. A layer accepts every kind by default; compositions ask
    /// their members.
    fn accepts(&self) -> Result<(), ShapeError> {
        Self::Driver::accepts(self)
    }

    /// Whether the layer takes an actual condition beside data `x` of a shape that it takes: its widths and its batch. By
    /// default it takes every condition.
    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        let _ = (shape, context);
        Ok(())
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

    /// [`Bijector::forward`], which also names what arises within the layer, and can say whether all of its elements are
    /// finite: so a search for a fault tells a coupling's network from its law. By default nothing is named.
    fn forward_observed(&self, x: Tensor<D>, context: &C, see: See<'_>) -> (Tensor<D>, Tensor<1>) {
        let _ = see;
        self.forward(x, context)
    }

    /// The backward pass of a layer under a memory-saving policy: from `z` and the gradients there to `x` and the gradient
    /// there, collecting the gradients of parameters and condition in `replay`.
    ///
    /// The default takes `x` from the replay, which kept it or has it rebuilt by the inverse, runs this layer alone with a
    /// graph and differentiates it. A layer that can do with less overrides it.
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        replay.differentiate(self, Direction::Forward, back, context)
    }

    /// [`ShapeMap::output_shape`] beside an actual condition, which every layer checks too. Asks the driver.
    fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
        Self::Driver::shape_given(self, Direction::Forward, shape, context)
    }

    /// Runs a batch through the layers one at a time and shows each to the visitor of `visit`. Returns what the visitor made
    /// of the last. Asks the driver.
    fn visit_layers(&self, x: Tensor<D>, context: &C, visit: &mut Visit<'_, D>) -> Tensor<D> {
        Self::Driver::visit(self, Direction::Forward, x, context, visit)
    }

    /// Forward without keeping a graph, for a backward pass that goes back layer by layer. Asks the driver.
    ///
    /// `x` and the result are plain tensors. Random layers (dropout) draw from a stream that depends on the replay's seed
    /// and the layer's place in it, so that [`Bijector::replay_back`] sees the same draws. The caller's random stream is
    /// restored after the layer ([`Replay`]).
    fn replay_forward(&self, x: Tensor<D>, context: &C, replay: &mut Replay<C>) -> (Tensor<D>, Tensor<1>) {
        Self::Driver::replay_forward(self, Direction::Forward, x, context, replay)
    }

    /// Goes back through [`Bijector::replay_forward`]: from `z` and the gradients there to `x` and the gradient there,
    /// collecting the gradients of parameters and condition in `replay`. Asks the driver.
    fn replay_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        Self::Driver::replay_back(self, Direction::Forward, back, context, replay)
    }
}
