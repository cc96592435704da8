//! Models with a log-likelihood, or a bound on it, that the `Learner` can maximise.

use burn::module::{Module, ModuleDisplay};

use crate::bijector::Bijector;
use crate::flow::surjection::Surjection;
use crate::flow::{Density, Flow};
use crate::prior::Prior;
use crate::train::{NegativeLogLikelihood, NonFinitePlace, Objective};

/// A model whose log-likelihood, or a bound on it, can be differentiated.
/// [`MaximumLikelihood`](super::MaximumLikelihood) trains it.
pub trait Likelihood: Density + Module + ModuleDisplay {
    /// The first place where the values of a batch are not finite. A bound samples new noise here,
    /// so a fault that occurs only with the noise of the loss may not be found.
    fn fault(&self, data: Self::Data) -> Option<NonFinitePlace>;
}

impl<B, P, const D: usize, S> Likelihood for Flow<B, P, D, (), S>
where
    S: Surjection<D>,
    B: Bijector<D>,
    P: Prior<D>,
    Self: ModuleDisplay,
{
    fn fault(&self, data: S::Data) -> Option<NonFinitePlace> {
        NegativeLogLikelihood::new(data).fault(self)
    }
}
