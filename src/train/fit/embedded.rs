//! Fits of a flow together with its encoder.

use burn::tensor::Tensor;

use super::flow::{BatchOf, FitFlow, FitInit};
use crate::bijector::Bijector;
use crate::context::{Context, check_finite};
use crate::encoder::Encoder;
use crate::error::FlowError;
use crate::flow::likelihood::LogLikelihood;
use crate::flow::surjection::Surjection;
use crate::flow::uninit::Uninit;
use crate::flow::{Density, Embedded, Flow};
use crate::prior::Prior;
use crate::train::NegativeLogLikelihood;

/// The condition of an example is its observation.
impl<E, B, P, const D: usize, C, S, const K: usize> FitFlow for Embedded<E, Flow<B, P, D, C, S>, K>
where
    E: Encoder<K, Code = C>,
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
    Flow<B, P, D, C, S>: FitFlow<Data = S::Data>,
{
    type Data = S::Data;
    type Context = Tensor<K>;
    type Provenance = S::Provenance;
    type Loss = NegativeLogLikelihood<S::Data, Tensor<K>>;

    fn initialized(
        model: Uninit<Self>,
        x: S::Data,
        observed: &Tensor<K>,
    ) -> Result<Self, FlowError> {
        model.initialize_given(x, observed)
    }

    fn admits(&self, x: &S::Data, observed: &Tensor<K>) -> Result<(), FlowError> {
        self.given(observed).check(x)?;
        check_finite(observed)?;
        self.flow.check_input(x)
    }

    fn loss(x: S::Data, observed: Tensor<K>, weights: Option<Vec<f64>>) -> Self::Loss {
        NegativeLogLikelihood::given(x, observed).weighing(weights)
    }

    fn log_likelihood(
        &self,
        x: S::Data,
        observed: &Tensor<K>,
    ) -> Result<LogLikelihood<S::Provenance>, FlowError> {
        self.given(observed).evaluate(x)
    }

    fn dims(&self) -> usize {
        FitFlow::dims(&self.flow)
    }
}

impl<E, F, const K: usize> FitInit for Embedded<E, F, K>
where
    Self: FitFlow,
{
    type Flow = Self;

    fn init<X: From<FlowError>>(
        self,
        _: impl FnOnce(&Self) -> Result<BatchOf<Self>, X>,
    ) -> Result<Self, X> {
        Ok(self)
    }
}
