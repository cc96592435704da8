//! Surjections: what turns data that no bijector takes into data that one does, at the price of a bound.
//! ```text
//! lift     y ~ q(y | x)           log_weight = ln p(x | y) − ln q(y | x)       [batch], nats
//! lower    x = S(y)
//! ln p(x) ≥ E_q [ ln p(y) + log_weight ]
//! ```
//! Dequantization lifts pixel levels to numbers and lowers by rounding down; augmentation appends noise and lowers by dropping it. Where
//! `S(y) = x` for every `y` of `q`, `p(x | y)` is 1. The draw is an argument, so that a run can be repeated and a gradient checked.
//!
//! # Reference
//! Nielsen et al. 2020 (SurVAE flows), whose generative surjections these are.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Tensor};

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Visit;
use crate::error::FlowError;
use crate::tensor::graph::{constant, graph_device, without_graph};

/// A deterministic map from continuous tensors with `D` axes to data, with a random lift back.
pub trait Surjection<const D: usize>: Module + ModuleDisplay {
    /// What it lowers to.
    type Data: Clone;

    /// The same data outside any graph, for methods that return numbers on the host. For data that is a tensor this is
    /// [`Tensor::inner`].
    fn plain(&self, x: Self::Data) -> Self::Data;

    /// Noise for a batch, on its device, of the kind that [`Surjection::lift`] takes, from the device's generator, in
    /// the type of the flow's parameters.
    fn noise(&self, x: &Self::Data, dtype: DType) -> Tensor<D>;

    /// Lifts data with the given noise.
    ///
    /// # Shapes
    /// A batch to `(y [batch, ...], log_weight [batch])`.
    fn lift(&self, x: Self::Data, noise: Tensor<D>) -> (Tensor<D>, Tensor<1>);

    /// Lowers continuous tensors to data.
    fn lower(&self, y: Tensor<D>) -> Self::Data;

    /// Shape of the lifted batch and numbers per example of the data, which bits/dim are counted in; an error for data that the map does
    /// not know. May read from the device.
    fn check(&self, x: &Self::Data) -> Result<([usize; D], usize), FlowError>;

    /// Whether the type of the flow that follows can represent the lifted data. The default accepts every type.
    fn check_dtype(&self, dtype: DType) -> Result<(), FlowError> {
        let _ = dtype;
        Ok(())
    }

    /// Data-dependent start; passes the lifted batch on, cut from the graph.
    fn initialize(self, x: Self::Data, noise: Tensor<D>) -> (Self, Tensor<D>) {
        let (y, _) = self.lift(x, noise);
        (self, y.detach())
    }

    /// [`Surjection::lift`] without keeping a graph: `y` and `log_weight`, plain tensors. A surjection with flows inside walks through them.
    fn walk_lift(&self, x: Self::Data, noise: Tensor<D>, walk: &mut Replay<()>) -> (Tensor<D>, Tensor<1>) {
        let device = graph_device(self, &noise);
        walk.enter(&device);
        let (y, log_weight) = without_graph(self).lift(x, constant(noise, &device));
        walk.release();
        (y.inner(), log_weight.inner())
    }

    /// Walks back through [`Surjection::walk_lift`]: from the gradients at `y` and the log-weight (`grad_log_det` of `back`) to those of the
    /// parameters, collected in `walk`. The default lifts once more with a graph.
    fn walk_back(&self, x: Self::Data, noise: Tensor<D>, back: Cotangent<D>, walk: &mut Replay<()>) {
        let device = graph_device(self, &noise);
        walk.leave(&device);
        let (y, log_weight) = self.lift(x, constant(noise, &device));
        let outward =
            (y * constant(back.grad_z, &device)).sum() + (log_weight * constant(back.grad_log_det, &device)).sum();
        // Without parameters there is nothing to differentiate.
        if outward.is_tracked() {
            walk.collect(self, &(), &mut outward.backward());
        }
        walk.release();
    }

    /// Lifts a batch and shows the layers of flows inside to the visitor of `walk`. Returns what was lifted.
    fn visit_layers(&self, x: Self::Data, noise: Tensor<D>, walk: &mut Visit<'_, D>) -> Tensor<D> {
        let _ = walk;
        self.lift(x, noise).0
    }
}
