//! The output of a training or validation step for the metrics.

use burn::tensor::{ExecutionError, Tensor};
use burn::train::ItemLazy;
use burn::train::metric::{Adaptor, LossInput};

use crate::flow::likelihood::Provenance;

/// The output of a step for the metrics: the log-likelihood of each example of a batch, without its
/// graph.
#[derive(Clone, Debug)]
pub struct StepLikelihood<P> {
    nats: Tensor<1>,
    dims: usize,
    provenance: P,
}

impl<P: Provenance> StepLikelihood<P> {
    /// Likelihoods `[batch]` in nats, of examples of `dims` elements. They are detached from the
    /// graph, so it can be freed while the metrics are still computed.
    pub(super) fn new(nats: Tensor<1>, dims: usize, provenance: P) -> Self {
        Self { nats: nats.inner(), dims, provenance }
    }

    /// `ln p` of each example, `[batch]`, in nats.
    pub fn nats(&self) -> Tensor<1> {
        self.nats.clone()
    }

    /// Number of elements of an example.
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

/// The loss of each example, minus the log-likelihood in nats. burn's `LossMetric` then weights
/// batches by their size.
impl<P: Provenance> Adaptor<LossInput> for StepLikelihood<P> {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.nats.clone().neg())
    }
}
