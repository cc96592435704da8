//! The central trait of the crate: an invertible map with an exact log-determinant.
//!
//! | what | where |
//! |---|---|
//! | the trait, and the shapes of a map | [`Bijector`], [`ShapeMap`] |
//! | building a layer for the shape of its input | [`LayerConfig`], [`Site`], [`Plan`] |
//! | compositions | tuples, `Vec`, `Option`, [`chain!`](crate::chain), [`choice!`](crate::choice), [`invert`], [`boxed`], [`blockwise`], [`multi_scale`] |
//! | what runs a stack layer by layer | [`drive`], for visits of the layers ([`visit`]) and for memory-saving passes ([`replay`]) |

pub mod blockwise;
pub mod boxed;
pub mod chain;
pub mod chain_rule;
pub mod choice;
pub mod compose;
pub mod drive;
pub mod invert;
pub mod layer_name;
pub mod multi_scale;
pub mod multi_scale_config;
mod repeated;
pub mod replay;
pub mod shape;
pub mod site;
pub mod stack_config;
#[doc(hidden)]
pub mod variant;
pub mod visit;

pub use blockwise::{Block, Blockwise, BlockwiseConfig};
pub use chain::{Chain, Entry, Member, Members};
pub use chain_rule::{ChainRule, ChainRuleConfig, Reading};
pub use drive::{Direction, Drive, Leaf, Rearrange};
pub use multi_scale_config::MultiScaleConfig;
pub use shape::ShapeMap;
pub use site::{LayerConfig, Plan, Site};
pub use stack_config::Boxed;

pub(crate) use repeated::Repeated;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::{Observer, Visit};
use crate::context::Context;
use crate::error::{InitProblem, ShapeError};

/// An invertible map of tensors with `D` axes, given a condition `C`.
///
/// ```text
/// forward   z = f(x | context)          log_det = ln |det ∂z/∂x|      [batch], nats
/// inverse   x = f⁻¹(z | context)        log_det = ln |det ∂x/∂z|      [batch], nats
/// ```
///
/// Data is `x`, latents are `z`; the first axis is the batch. An unconditional bijector is
/// implemented for every `C: Context` and ignores it. A bijector that uses a condition is
/// implemented for this type of condition alone. Bijectors are burn modules: their parameters are
/// visited, saved, loaded and moved like those of any other module.
///
/// Your own bijector needs `forward`, `inverse`, [`ShapeMap::output_shape`] and
/// `type Driver = Leaf;`. It may override methods where it can do better than the default:
/// [`Bijector::inverse_with_log_det`], [`Bijector::initialize`], [`Bijector::init_problem`],
/// [`Bijector::forward_observed`], [`Bijector::accepts`], [`Bijector::check_context`] and
/// [`Bijector::pull_back`]. Define a composition with [`chain!`](crate::chain) or
/// [`choice!`](crate::choice).
pub trait Bijector<const D: usize, C: Context = ()>:
    ShapeMap<D> + Module + ModuleDisplay + 'static
{
    /// Its driver, which visits it and runs its memory-saving passes: [`Leaf`] for a layer,
    /// [`Rearrange`] for a layer that only moves elements, [`Chain`] for a composition, which has
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

    /// Maps latents to data. An element that has no inverse in the tensor's precision becomes NaN,
    /// never a guess.
    ///
    /// # Panics
    /// If [`ShapeMap::input_shape`] is an error for the shape of `z`.
    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D>;

    /// [`Bijector::inverse`] with its own log-determinant, the negative of the log-determinant of
    /// `forward` at the same point.
    ///
    /// # Shapes
    /// `z [batch, ...]` to `(x [batch, ...], log_det [batch])`.
    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let x = self.inverse(z, context);
        let (_, log_det) = self.forward(x.clone(), context);
        (x, log_det.neg())
    }

    /// Checks that this map was built for a condition of the kind `C`: with a condition, or without
    /// one. A layer accepts both by default; a composition checks its members.
    ///
    /// # Errors
    /// [`ShapeError::Context`].
    fn accepts(&self) -> Result<(), ShapeError> {
        Self::Driver::accepts(self)
    }

    /// Checks that the width and batch of an actual condition fit data `x` of the given shape,
    /// which the layer accepts. By default every condition fits.
    ///
    /// # Errors
    /// [`ShapeError::Context`], [`ShapeError::ContextShape`].
    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        let _ = (shape, context);
        Ok(())
    }

    /// Data-dependent initialisation: sets parameters from a batch and returns the output for the
    /// batch, detached from the graph.
    ///
    /// It consumes and returns the module, so that initialisation can neither happen twice by
    /// accident nor hide inside `forward`. Parameters that the batch does not determine become NaN
    /// instead of a guess. `initialize` of [`crate::Uninit`] turns them into an error that names
    /// the layer.
    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        let (z, _) = self.forward(x, context);
        (self, z.detach())
    }

    /// The reason why initialisation from `x` left this layer with parameters that are not finite.
    /// It is called only in that case. By default there is no reason, and the error names the
    /// parameter instead.
    fn init_problem(&self, x: &Tensor<D>, context: &C) -> Option<InitProblem> {
        let _ = (x, context);
        None
    }

    /// [`Bijector::forward`], which also reports intermediate tensors to `observe`, each with its
    /// name and a check that all of its elements are finite. A search for a fault can thus
    /// distinguish a coupling's network from its law. By default nothing is reported.
    fn forward_observed(
        &self,
        x: Tensor<D>,
        context: &C,
        observe: Observer<'_>,
    ) -> (Tensor<D>, Tensor<1>) {
        let _ = observe;
        self.forward(x, context)
    }

    /// The backward pass of a layer under a memory-saving policy: from `z` and the gradients at `z`
    /// to `x` and the gradient at `x`. It collects the gradients of parameters and condition in
    /// `replay`.
    ///
    /// The default takes `x` from `replay`, which kept it or rebuilds it by the inverse. It then
    /// runs this layer alone with a graph and differentiates it. A layer that needs less memory or
    /// work overrides it.
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        replay.differentiate(self, Direction::Forward, back, context)
    }

    /// [`ShapeMap::output_shape`], in which every layer also checks an actual condition. Calls the
    /// driver.
    ///
    /// # Errors
    /// Those of [`ShapeMap::output_shape`] and [`Bijector::check_context`].
    fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
        Self::Driver::shape_given(self, Direction::Forward, shape, context)
    }

    /// Runs a batch through the layers one at a time and passes each layer to the visitor of
    /// `visit`. Returns the visitor's result for the last layer. Calls the driver.
    fn visit_layers(&self, x: Tensor<D>, context: &C, visit: &mut Visit<'_, D>) -> Tensor<D> {
        Self::Driver::visit(self, Direction::Forward, x, context, visit)
    }

    /// The forward pass without a graph, for a backward pass that goes layer by layer. Calls the
    /// driver.
    ///
    /// `x` and the result are plain tensors. Random layers (dropout) sample from a stream that
    /// depends on the seed of `replay` and on the layer's place, so that [`Bijector::replay_back`]
    /// repeats the same random draws. The caller's random stream is restored after the layer
    /// ([`Replay`]).
    fn replay_forward(
        &self,
        x: Tensor<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>) {
        Self::Driver::replay_forward(self, Direction::Forward, x, context, replay)
    }

    /// The backward pass of [`Bijector::replay_forward`]: from `z` and the gradients at `z` to `x`
    /// and the gradient at `x`. It collects the gradients of parameters and condition in `replay`.
    /// Calls the driver.
    fn replay_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        Self::Driver::replay_back(self, Direction::Forward, back, context, replay)
    }
}
