//! Models with a log-likelihood, or a bound on it, that the `Learner` can maximise.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::error::FlowError;
use crate::flow::Flow;
use crate::flow::bound::{Admitted, BoundFlow};
use crate::flow::likelihood::{Exact, OneSampleBound, Provenance};
use crate::flow::surjection::Surjection;
use crate::prior::Prior;
use crate::train::{NegativeLogLikelihood, NonFinitePlace, Objective};

/// A model whose log-likelihood, or a bound on it, can be differentiated: what [`MaximumLikelihood`](super::MaximumLikelihood) trains.
///
/// The rank `D` is that of the tensors that the flow's bijector takes.
pub trait Likelihood<const D: usize>: Module + ModuleDisplay {
    /// A batch.
    type Data: Clone + Send + 'static;

    /// How its likelihoods are found.
    type Provenance: Provenance + Sync;

    /// How its likelihoods are found.
    fn provenance() -> Self::Provenance;

    /// `ln p` of each example or a bound on it, `[batch]` in nats, and the numbers per example that bits/dim are counted in. A bound draws
    /// fresh noise from the device's generator.
    ///
    /// # Errors
    /// If the batch is none of the model's.
    fn log_likelihood(&self, data: Self::Data) -> Result<(Tensor<1>, usize), FlowError>;

    /// The same batch outside any graph, for likelihoods that are not differentiated.
    fn plain(&self, data: Self::Data) -> Self::Data;

    /// The first place where the numbers of a batch are not finite. A bound draws fresh noise: what only one draw met is not found.
    fn fault(&self, data: Self::Data) -> Option<NonFinitePlace>;
}

impl<const D: usize, B: Bijector<D>, P: Prior<D>> Likelihood<D> for Flow<B, P>
where
    Self: ModuleDisplay,
{
    type Data = Tensor<D>;
    type Provenance = Exact;

    fn provenance() -> Exact {
        Exact
    }

    fn log_likelihood(&self, data: Tensor<D>) -> Result<(Tensor<1>, usize), FlowError> {
        self.admit(&data, &())?;
        Ok((self.density(data, &()), self.dims()))
    }

    fn plain(&self, data: Tensor<D>) -> Tensor<D> {
        data.inner()
    }

    fn fault(&self, data: Tensor<D>) -> Option<NonFinitePlace> {
        NegativeLogLikelihood::<D, _>::new(data).fault(self)
    }
}

impl<const D: usize, S, B, P> Likelihood<D> for BoundFlow<S, B, P>
where
    S: Surjection<D, Data: Send + 'static>,
    B: Bijector<D>,
    P: Prior<D>,
    Self: ModuleDisplay,
{
    type Data = S::Data;
    type Provenance = OneSampleBound;

    fn provenance() -> OneSampleBound {
        OneSampleBound
    }

    fn log_likelihood(&self, data: S::Data) -> Result<(Tensor<1>, usize), FlowError> {
        let Admitted { dims, noise, .. } = self.admit(&data, &())?;
        Ok((self.log_weight(data, noise), dims))
    }

    fn plain(&self, data: S::Data) -> S::Data {
        self.surjection.plain(data)
    }

    fn fault(&self, data: S::Data) -> Option<NonFinitePlace> {
        NegativeLogLikelihood::<D, _>::new(data).fault(self)
    }
}
