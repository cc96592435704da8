//! What a training or validation step hands to the metrics.

use burn::tensor::{ExecutionError, Tensor};
use burn::train::ItemLazy;
use burn::train::metric::{Adaptor, LossInput};

use crate::flow::likelihood::Provenance;

/// What a step tells the metrics: the log-likelihood of each example of a batch, without its graph.
#[derive(Clone, Debug)]
pub struct StepLikelihood<P> {
    nats: Tensor<1>,
    dims: usize,
    provenance: P,
}

impl<P: Provenance> StepLikelihood<P> {
    /// Likelihoods `[batch]` in nats of examples of `dims` numbers. The graph is cut off, so that
    /// it can be freed while the metrics are still at work.
    pub(super) fn new(nats: Tensor<1>, dims: usize, provenance: P) -> Self {
        Self { nats: nats.inner(), dims, provenance }
    }

    /// `ln p` of each example, `[batch]`, in nats.
    pub fn nats(&self) -> Tensor<1> {
        self.nats.clone()
    }

    /// Numbers per example.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// How the values were found.
    pub fn provenance(&self) -> P {
        self.provenance
    }
}

impl<P: Provenance> ItemLazy for StepLikelihood<P> {
    fn sync(self) -> Result<Self, ExecutionError> {
        self.nats.device().flush()?;
        Ok(self)
    }
}

impl<P: Provenance> Adaptor<StepLikelihood<P>> for StepLikelihood<P> {
    fn adapt(&self) -> StepLikelihood<P> {
        self.clone()
    }
}

/// The loss, minus the log-likelihood in nats, of each example: burn's `LossMetric` weights batches
/// by their size then.
impl<P: Provenance> Adaptor<LossInput> for StepLikelihood<P> {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.nats.clone().neg())
    }
}
