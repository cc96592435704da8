//! What a fit requires of a flow.

use burn::module::Module;
use burn::tensor::Device;

use crate::bijector::Bijector;
use crate::context::{Context, check_finite};
use crate::error::FlowError;
use crate::flow::likelihood::{LogLikelihood, Provenance};
use crate::flow::surjection::Surjection;
use crate::flow::uninit::Uninit;
use crate::flow::{Density, Flow};
use crate::prior::Prior;
use crate::train::{NegativeLogLikelihood, Objective};

/// A flow that can be fitted: every [`Flow`], with a condition or without.
pub trait FitFlow: Module {
    /// A batch.
    type Data: Clone + Send + 'static;

    /// The condition of a batch, or `()` if there is none.
    type Context: Context;

    /// How its likelihoods are found.
    type Provenance: Provenance;

    /// Minus the mean log-likelihood of a batch, with weights or without.
    type Loss: Objective<Self>;

    /// Data-dependent initialisation.
    ///
    /// # Errors
    /// If the batch does not fit, or if a layer cannot be initialised from it.
    fn initialized(
        flow: Uninit<Self>,
        x: Self::Data,
        context: &Self::Context,
    ) -> Result<Self, FlowError>;

    /// Checks that a batch and its condition fit the flow and are finite.
    ///
    /// # Errors
    /// Those of [`Density::evaluate`], except for the likelihoods.
    fn admits(&self, x: &Self::Data, context: &Self::Context) -> Result<(), FlowError>;

    /// The loss of a batch: `−mean(w_i ln p_i)`, or `−mean(ln p_i)` without weights.
    fn loss(x: Self::Data, context: Self::Context, weights: Option<Vec<f64>>) -> Self::Loss;

    /// `ln p` of each example or a bound on it, on the host.
    ///
    /// # Errors
    /// Those of [`Density::evaluate`].
    fn log_likelihood(
        &self,
        x: Self::Data,
        context: &Self::Context,
    ) -> Result<LogLikelihood<Self::Provenance>, FlowError>;

    /// Number of elements of an example of the data.
    fn dims(&self) -> usize;
}

impl<B, P, const D: usize, C, S> FitFlow for Flow<B, P, D, C, S>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
    Self: Module,
{
    type Data = S::Data;
    type Context = C;
    type Provenance = S::Provenance;
    type Loss = NegativeLogLikelihood<S::Data, C>;

    fn initialized(flow: Uninit<Self>, x: S::Data, context: &C) -> Result<Self, FlowError> {
        flow.initialize_given(x, context)
    }

    fn admits(&self, x: &S::Data, context: &C) -> Result<(), FlowError> {
        self.given(context).check(x)?;
        check_finite(context)?;
        self.check_input(x)
    }

    fn loss(x: S::Data, context: C, weights: Option<Vec<f64>>) -> Self::Loss {
        NegativeLogLikelihood::given(x, context).weighing(weights)
    }

    fn log_likelihood(
        &self,
        x: S::Data,
        context: &C,
    ) -> Result<LogLikelihood<S::Provenance>, FlowError> {
        self.given(context).evaluate(x)
    }

    fn dims(&self) -> usize {
        self.surjection.dims(self.shape())
    }
}

/// What a fit starts from: an initialised flow, or an [`Uninit`] flow, which it initialises first.
pub trait FitInit {
    /// The flow.
    type Flow: FitFlow;

    /// The flow, initialised if it was not. `batch` gathers the examples for initialisation, for a
    /// flow on its device.
    ///
    /// # Errors
    /// Those of `batch`, and of [`FitFlow::initialized`].
    fn init<E: From<FlowError>>(
        self,
        batch: impl FnOnce(&Self::Flow) -> Result<BatchOf<Self::Flow>, E>,
    ) -> Result<Self::Flow, E>;
}

/// A batch of a flow and its condition.
pub type BatchOf<F> = (<F as FitFlow>::Data, <F as FitFlow>::Context);

impl<F: FitFlow> FitInit for Uninit<F> {
    type Flow = F;

    fn init<E: From<FlowError>>(
        self,
        batch: impl FnOnce(&F) -> Result<BatchOf<F>, E>,
    ) -> Result<F, E> {
        Uninit::initialize_with(self, |flow| {
            let (x, context) = batch(&flow)?;
            Ok(F::initialized(Uninit::new(flow), x, &context)?)
        })
    }
}

impl<B, P, const D: usize, C, S> FitInit for Flow<B, P, D, C, S>
where
    Self: FitFlow,
{
    type Flow = Self;

    fn init<E: From<FlowError>>(
        self,
        _: impl FnOnce(&Self) -> Result<BatchOf<Self>, E>,
    ) -> Result<Self, E> {
        Ok(self)
    }
}

/// The device of a flow's parameters, or the default device if there are none.
pub(super) fn device<F: Module>(flow: &F) -> Device {
    flow.devices().into_iter().next().unwrap_or_default()
}
