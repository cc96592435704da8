//! Drivers run visits, memory-saving passes and checks against a condition through a stack of
//! bijectors.
//!
//! Each of these is written once for a single layer ([`Leaf`]), once for layers that only move
//! elements ([`Rearrange`]) and once over the members of a composition ([`Chain`](super::Chain)).
//! The associated type [`Bijector::Driver`] selects the driver of a bijector. Every driver runs in
//! both directions, so an inverted stack is processed layer by layer as well.

use burn::tensor::Tensor;

use super::replay::{Cotangent, Replay};
use super::visit::Visit;
use super::{Bijector, ShapeMap};
use crate::context::Context;
use crate::error::ShapeError;
use crate::tensor::graph::{constant, graph_device, without_graph};
use crate::tensor::per_example::zero_log_det;

/// One of the two maps of a bijector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// [`Bijector::forward`].
    Forward,
    /// [`Bijector::inverse`].
    Inverse,
}

impl Direction {
    /// The direction in which a member runs when its composition runs in `self` and holds the
    /// member in `member`.
    pub fn of(self, member: Self) -> Self {
        if self == member { Self::Forward } else { Self::Inverse }
    }

    /// The map with its log-determinant.
    pub fn run<const D: usize, C: Context, B: Bijector<D, C>>(
        self,
        bijector: &B,
        x: Tensor<D>,
        context: &C,
    ) -> (Tensor<D>, Tensor<1>) {
        match self {
            Self::Forward => bijector.forward(x, context),
            Self::Inverse => bijector.inverse_with_log_det(x, context),
        }
    }

    /// The map without its log-determinant, which the inverse then does not compute.
    pub fn map<const D: usize, C: Context, B: Bijector<D, C>>(
        self,
        bijector: &B,
        x: Tensor<D>,
        context: &C,
    ) -> Tensor<D> {
        match self {
            Self::Forward => bijector.forward(x, context).0,
            Self::Inverse => bijector.inverse(x, context),
        }
    }

    /// The map that undoes this one.
    pub fn undo<const D: usize, C: Context, B: Bijector<D, C>>(
        self,
        bijector: &B,
        z: Tensor<D>,
        context: &C,
    ) -> Tensor<D> {
        Self::Inverse.of(self).map(bijector, z, context)
    }

    /// The output shape of the map for this input shape.
    pub fn shape<const D: usize, S: ShapeMap<D>>(
        self,
        bijector: &S,
        shape: [usize; D],
    ) -> Result<[usize; D], ShapeError> {
        match self {
            Self::Forward => bijector.output_shape(shape),
            Self::Inverse => bijector.input_shape(shape),
        }
    }

    /// The input shape of the map for this output shape.
    pub fn input_shape<const D: usize, S: ShapeMap<D>>(
        self,
        bijector: &S,
        shape: [usize; D],
    ) -> Result<[usize; D], ShapeError> {
        Self::Inverse.of(self).shape(bijector, shape)
    }
}

/// Drives bijectors of the type `B`. A layer selects one of the existing drivers, usually [`Leaf`].
///
/// `direction` selects the map of the bijector that is driven.
pub trait Drive<B, const D: usize, C: Context> {
    /// Passes each layer to the visitor, in the order in which they run.
    fn visit(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D>;

    /// Runs the map without keeping a graph.
    fn replay_forward(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>);

    /// The backward pass of [`Drive::replay_forward`], which collects gradients in `replay`.
    fn replay_back(
        bijector: &B,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<D>;

    /// Checks that every layer was built for a condition of this kind.
    fn accepts(bijector: &B) -> Result<(), ShapeError>;

    /// The output shape of the map for this input shape, if every layer accepts the shape together
    /// with the condition.
    fn shape_given(
        bijector: &B,
        direction: Direction,
        shape: [usize; D],
        context: &C,
    ) -> Result<[usize; D], ShapeError>;
}

/// Driver of a single layer.
#[derive(Debug, Clone, Copy)]
pub struct Leaf;

impl<const D: usize, C: Context, B: Bijector<D, C>> Drive<B, D, C> for Leaf {
    fn visit(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        visit.leaf(bijector, direction, x, context)
    }

    fn replay_forward(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>) {
        let device = graph_device(bijector, &x);
        replay.enter(&device);
        replay.keep(&x);
        let condition = context.constant(&device);
        let (z, log_det) =
            direction.run(&without_graph(bijector), constant(x, &device), &condition);
        replay.release();
        (z.inner(), log_det.inner())
    }

    fn replay_back(
        bijector: &B,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<D> {
        replay.leave(&graph_device(bijector, &back.z));
        let back = match direction {
            Direction::Forward => bijector.pull_back(back, context, replay),
            Direction::Inverse => replay.differentiate(bijector, direction, back, context),
        };
        replay.release();
        back
    }

    fn accepts(_: &B) -> Result<(), ShapeError> {
        Ok(())
    }

    fn shape_given(
        bijector: &B,
        direction: Direction,
        shape: [usize; D],
        context: &C,
    ) -> Result<[usize; D], ShapeError> {
        let output = direction.shape(bijector, shape)?;
        let data = if direction == Direction::Forward { shape } else { output };
        bijector.check_context(data, context)?;
        Ok(output)
    }
}

/// Driver of a layer that only moves elements, such as [`Squeeze`](crate::Squeeze).
///
/// Its log-determinant is 0 and its Jacobian is orthogonal: gradients move as the values do. The
/// memory-saving pass therefore keeps nothing for it under any policy.
#[derive(Debug, Clone, Copy)]
pub struct Rearrange;

impl Rearrange {
    /// Moves the elements of a plain tensor. The layer may hold indices on a device with autodiff.
    fn moved<const D: usize, C: Context, B: Bijector<D, C>>(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
    ) -> Tensor<D> {
        let device = graph_device(bijector, &x);
        direction.map(bijector, constant(x, &device), &context.constant(&device)).inner()
    }
}

impl<const D: usize, C: Context, B: Bijector<D, C>> Drive<B, D, C> for Rearrange {
    fn visit(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        visit.leaf(bijector, direction, x, context)
    }

    fn replay_forward(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        _: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>) {
        let log_det = zero_log_det(&x);
        (Self::moved(bijector, direction, x, context), log_det)
    }

    fn replay_back(
        bijector: &B,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
        _: &mut Replay<C>,
    ) -> Cotangent<D> {
        let Cotangent { z, grad_z, grad_log_det } = back;
        let undone =
            |value| Self::moved(bijector, Direction::Inverse.of(direction), value, context);
        Cotangent { z: undone(z), grad_z: undone(grad_z), grad_log_det }
    }

    fn accepts(_: &B) -> Result<(), ShapeError> {
        Ok(())
    }

    fn shape_given(
        bijector: &B,
        direction: Direction,
        shape: [usize; D],
        context: &C,
    ) -> Result<[usize; D], ShapeError> {
        Leaf::shape_given(bijector, direction, shape, context)
    }
}
