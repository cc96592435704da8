//! Surjections: maps from the continuous tensors that bijectors accept to the data of a flow.
//! ```text
//! lift     y ~ q(y | x)           log_weight = ln p(x | y) − ln q(y | x)       [batch], nats
//! lower    x = S(y)
//! ln p(x) ≥ E_q [ ln p(y) + log_weight ]
//! ```
//! [`Continuous`] is the identity, for data that a bijector accepts as it is; the density is exact.
//! A dequantization lifts levels to continuous values and lowers by rounding down; an augmentation
//! appends noise and lowers by dropping it. Where `S(y) = x` for every `y` of `q`, `p(x | y)` is 1.
//! The noise is an argument, so that a run can be repeated and a gradient checked.
//!
//! # Reference
//! Nielsen et al. 2020 (SurVAE flows), whose generative surjections these are.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor};

use super::evaluation::non_finite_counts;
use super::likelihood::{Exact, Provenance};
use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Visit;
use crate::context::{Context, graph_device_given};
use crate::error::FlowError;
use crate::tensor::graph::{constant, without_graph};

/// A deterministic map from continuous tensors with `D` axes to data, with a random lift back.
pub trait Surjection<const D: usize>: Module + ModuleDisplay {
    /// The data that it lowers to.
    type Data: Clone + Send + 'static;

    /// Noise of a batch that [`Surjection::lift`] takes: a tensor, or `()` where there is none.
    type Noise: Context;

    /// The provenance of a log-likelihood of the lowered data.
    type Provenance: Provenance;

    /// The value of that type.
    const PROVENANCE: Self::Provenance;

    /// The same data outside any graph, for methods that return values on the host. For data that
    /// is a tensor this is [`Tensor::inner`].
    fn plain(&self, x: Self::Data) -> Self::Data;

    /// Noise for a batch, on its device, of the kind that [`Surjection::lift`] takes, from the
    /// device's generator, in the type of the flow's parameters.
    fn noise(&self, x: &Self::Data, dtype: DType) -> Self::Noise;

    /// Lifts data with the given noise.
    ///
    /// # Shapes
    /// A batch to `(y [batch, ...], log_weight [batch])`.
    fn lift(&self, x: Self::Data, noise: Self::Noise) -> (Tensor<D>, Tensor<1>);

    /// Lowers continuous tensors to data.
    fn lower(&self, y: Tensor<D>) -> Self::Data;

    /// Shape of the lifted batch; an error for data outside the range of the map. May copy from the
    /// device.
    fn check(&self, x: &Self::Data) -> Result<[usize; D], FlowError>;

    /// Type and device of the lifted batch, for a flow that computes in `dtype`.
    fn numbers(&self, x: &Self::Data, dtype: DType) -> (DType, Device);

    /// Elements of an example of the data, by which bits/dim are normalised, for lifted examples of
    /// shape `shape[1..]`. The default counts the lifted elements.
    fn dims(&self, shape: [usize; D]) -> usize {
        shape[1..].iter().product()
    }

    /// For each example, how many of its elements are not finite; `None` for data of which all are.
    /// May read from the device. The default serves integers.
    fn non_finite(&self, x: &Self::Data) -> Result<Option<Vec<usize>>, FlowError> {
        let _ = x;
        Ok(None)
    }

    /// Whether the type of the flow that follows can represent the lifted data. The default accepts
    /// every type.
    fn check_dtype(&self, dtype: DType) -> Result<(), FlowError> {
        let _ = dtype;
        Ok(())
    }

    /// Data-dependent initialisation; returns the lifted batch, detached from the graph.
    fn initialize(self, x: Self::Data, noise: Self::Noise) -> (Self, Tensor<D>) {
        let (y, _) = self.lift(x, noise);
        (self, y.detach())
    }

    /// [`Surjection::lift`] without keeping a graph: `y` and `log_weight`, plain tensors. A
    /// surjection with flows inside walks through them.
    fn walk_lift(
        &self,
        x: Self::Data,
        noise: Self::Noise,
        walk: &mut Replay<()>,
    ) -> (Tensor<D>, Tensor<1>) {
        let device = graph_device_given(self, &noise);
        walk.enter(&device);
        let (y, log_weight) = without_graph(self).lift(x, noise.constant(&device));
        walk.release();
        (y.inner(), log_weight.inner())
    }

    /// Walks back through [`Surjection::walk_lift`]: from the gradients at `y` and the log-weight
    /// (`grad_log_det` of `back`) to those of the parameters, collected in `walk`. The default
    /// lifts once more with a graph.
    fn walk_back(
        &self,
        x: Self::Data,
        noise: Self::Noise,
        back: Cotangent<D>,
        walk: &mut Replay<()>,
    ) {
        let device = graph_device_given(self, &noise);
        walk.leave(&device);
        let (y, log_weight) = self.lift(x, noise.constant(&device));
        let outward = (y * constant(back.grad_z, &device)).sum()
            + (log_weight * constant(back.grad_log_det, &device)).sum();
        // Without parameters there is nothing to differentiate.
        if outward.is_tracked() {
            walk.collect(self, &(), &mut outward.backward());
        }
        walk.release();
    }

    /// Lifts a batch and shows the layers of flows inside to the visitor of `walk`. Returns what
    /// was lifted.
    fn visit_layers(
        &self,
        x: Self::Data,
        noise: Self::Noise,
        walk: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        let _ = walk;
        self.lift(x, noise).0
    }
}

/// Data that a bijector takes as it is: `lift` and `lower` change nothing, and a log-likelihood is
/// exact.
#[derive(Module, Debug, Default)]
pub struct Continuous {}

impl<const D: usize> Surjection<D> for Continuous {
    type Data = Tensor<D>;
    type Noise = ();
    type Provenance = Exact;
    const PROVENANCE: Exact = Exact;

    fn plain(&self, x: Tensor<D>) -> Tensor<D> {
        x.inner()
    }

    fn noise(&self, _: &Tensor<D>, _: DType) {}

    fn lift(&self, x: Tensor<D>, (): ()) -> (Tensor<D>, Tensor<1>) {
        let log_weight = Tensor::zeros([x.dims()[0]], (&x.device(), x.dtype()));
        (x, log_weight)
    }

    fn lower(&self, y: Tensor<D>) -> Tensor<D> {
        y
    }

    fn check(&self, x: &Tensor<D>) -> Result<[usize; D], FlowError> {
        Ok(x.dims())
    }

    fn numbers(&self, x: &Tensor<D>, _: DType) -> (DType, Device) {
        (x.dtype(), x.device())
    }

    fn non_finite(&self, x: &Tensor<D>) -> Result<Option<Vec<usize>>, FlowError> {
        non_finite_counts(x.clone()).map(Some)
    }

    fn initialize(self, x: Tensor<D>, (): ()) -> (Self, Tensor<D>) {
        (self, x)
    }

    // No layer and no place in the walk's random stream.
    fn walk_lift(&self, x: Tensor<D>, (): (), _: &mut Replay<()>) -> (Tensor<D>, Tensor<1>) {
        self.lift(x.inner(), ())
    }

    fn walk_back(&self, _: Tensor<D>, (): (), _: Cotangent<D>, _: &mut Replay<()>) {}
}
