//! Surjections: maps from the continuous tensors that bijectors accept to the data of a flow.
//! ```text
//! lift     y ~ q(y | x)           log_weight = ln p(x | y) − ln q(y | x)       [batch], nats
//! lower    x = S(y)
//! ln p(x) ≥ E_q [ ln p(y) + log_weight ]
//! ```
//! [`Continuous`] is the identity, for data that a bijector accepts as it is; the density is exact.
//! A dequantization lifts levels to continuous values and lowers by rounding down. An augmentation
//! lifts by appending noise and lowers by dropping it. If `S(y) = x` for every `y` that `q` can
//! sample, `p(x | y)` is 1.
//! The log-weight is NaN for data outside the range of the map, for example a level of 256 in 8-bit
//! images: such data has no likelihood, and a computation that does not check it first is not
//! wrong in silence.
//! The noise is an argument, so a run can be repeated and a gradient can be checked.
//!
//! # Reference
//! Nielsen et al. 2020 (SurVAE flows), whose generative surjections these are.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor};

use super::likelihood::{Exact, Provenance};
use super::read::non_finite_counts;
use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Visit;
use crate::context::{Context, graph_device_given};
use crate::error::FlowError;
use crate::tensor::graph::{constant, without_graph};

/// A deterministic map from continuous tensors with `D` axes to data, with a random lift back.
pub trait Surjection<const D: usize>: Module + ModuleDisplay {
    /// The data that it lowers to.
    type Data: Clone + Send + 'static;

    /// Noise of a batch for [`Surjection::lift`]: a tensor, or `()` if there is none.
    type Noise: Context;

    /// The provenance of a log-likelihood of the lowered data.
    type Provenance: Provenance;

    /// The value of that type.
    const PROVENANCE: Self::Provenance;

    /// The same data outside any graph, for methods that return values on the host. For a tensor
    /// this is [`Tensor::inner`].
    fn plain(&self, x: Self::Data) -> Self::Data;

    /// Noise of a batch for [`Surjection::lift`], on the device of the batch, from the generator of
    /// that device, in the type of the flow's parameters.
    fn noise(&self, x: &Self::Data, dtype: DType) -> Self::Noise;

    /// Lifts data with the given noise.
    /// ```text
    /// log_weight_i    ln p(x_i | y_i) − ln q(y_i | x_i)    if the values of x_i are in the range
    ///                 NaN                                  if `check` refuses x_i for its values
    /// ```
    /// Training does not check values before it computes, since that is a device-to-host copy for
    /// each update. It relies on the NaN: the loss is then NaN, and the update calls
    /// [`Surjection::check`] for the error.
    ///
    /// # Shapes
    /// A batch to `(y [batch, ...], log_weight [batch])`.
    fn lift(&self, x: Self::Data, noise: Self::Noise) -> (Tensor<D>, Tensor<1>);

    /// Lowers continuous tensors to data.
    fn lower(&self, y: Tensor<D>) -> Self::Data;

    /// Shape of the lifted batch. Copies nothing to the host.
    ///
    /// # Errors
    /// If the map does not accept data of this shape.
    fn shape(&self, x: &Self::Data) -> Result<[usize; D], FlowError>;

    /// [`Surjection::shape`], and a check of the values, which may need a device-to-host copy. The
    /// default is for data of which every value is in the range of the map. A surjection with
    /// another check returns a log-weight of NaN for every example that it refuses:
    /// [`Surjection::lift`].
    ///
    /// # Errors
    /// Those of [`Surjection::shape`], and if a value is outside the range of the map.
    fn check(&self, x: &Self::Data) -> Result<[usize; D], FlowError> {
        self.shape(x)
    }

    /// Type and device of the lifted batch, for a flow that computes in `dtype`.
    fn placement(&self, x: &Self::Data, dtype: DType) -> (DType, Device);

    /// Number of elements of an example of the data, for lifted examples of shape `shape[1..]`.
    /// bits/dim are normalised by it. The default counts the lifted elements.
    fn dims(&self, shape: [usize; D]) -> usize {
        shape[1..].iter().product()
    }

    /// Number of elements of each example that are not finite, or `None` for data that is always
    /// finite. May need a device-to-host copy. The default is for integers.
    fn non_finite(&self, x: &Self::Data) -> Result<Option<Vec<usize>>, FlowError> {
        let _ = x;
        Ok(None)
    }

    /// Checks that the type of the following flow can represent the lifted data. The default
    /// accepts every type.
    fn check_dtype(&self, dtype: DType) -> Result<(), FlowError> {
        let _ = dtype;
        Ok(())
    }

    /// Data-dependent initialisation. Returns the lifted batch too, detached from the graph.
    fn initialize(self, x: Self::Data, noise: Self::Noise) -> (Self, Tensor<D>) {
        let (y, _) = self.lift(x, noise);
        (self, y.detach())
    }

    /// [`Surjection::lift`] without keeping a graph: `y` and `log_weight` are plain tensors, and
    /// the log-weight is NaN for the same examples. A surjection that contains flows replays them.
    fn replay_lift(
        &self,
        x: Self::Data,
        noise: Self::Noise,
        replay: &mut Replay<()>,
    ) -> (Tensor<D>, Tensor<1>) {
        let device = graph_device_given(self, &noise);
        replay.enter(&device);
        let (y, log_weight) = without_graph(self).lift(x, noise.constant(&device));
        replay.release();
        (y.inner(), log_weight.inner())
    }

    /// The backward pass of [`Surjection::replay_lift`]: from the gradients at `y` and the
    /// log-weight (`grad_log_det` of `back`) to those of the parameters, collected in `replay`. The
    /// default lifts once more, with a graph.
    fn replay_back(
        &self,
        x: Self::Data,
        noise: Self::Noise,
        back: Cotangent<D>,
        replay: &mut Replay<()>,
    ) {
        let device = graph_device_given(self, &noise);
        replay.leave(&device);
        let (y, log_weight) = self.lift(x, noise.constant(&device));
        let outward = (y * constant(back.grad_z, &device)).sum()
            + (log_weight * constant(back.grad_log_det, &device)).sum();
        // Without parameters there is nothing to differentiate.
        if outward.is_tracked() {
            replay.collect(self, &(), &mut outward.backward());
        }
        replay.release();
    }

    /// Lifts a batch and passes the layers of the flows that it contains to the visitor of `visit`.
    /// Returns the lifted batch.
    fn visit_layers(
        &self,
        x: Self::Data,
        noise: Self::Noise,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        let _ = visit;
        self.lift(x, noise).0
    }
}

/// Data that a bijector accepts as it is: `lift` and `lower` change nothing, and the log-likelihood
/// is exact.
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

    fn shape(&self, x: &Tensor<D>) -> Result<[usize; D], FlowError> {
        Ok(x.dims())
    }

    fn placement(&self, x: &Tensor<D>, _: DType) -> (DType, Device) {
        (x.dtype(), x.device())
    }

    fn non_finite(&self, x: &Tensor<D>) -> Result<Option<Vec<usize>>, FlowError> {
        non_finite_counts(x.clone()).map(Some)
    }

    fn initialize(self, x: Tensor<D>, (): ()) -> (Self, Tensor<D>) {
        (self, x)
    }

    // It is no layer and takes no place in the replay's random stream.
    fn replay_lift(&self, x: Tensor<D>, (): (), _: &mut Replay<()>) -> (Tensor<D>, Tensor<1>) {
        self.lift(x.inner(), ())
    }

    fn replay_back(&self, _: Tensor<D>, (): (), _: Cotangent<D>, _: &mut Replay<()>) {}
}
