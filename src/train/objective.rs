//! Objective: a loss that can say where it went wrong.
//!
//! ```text
//! NegativeLogLikelihood   −mean ln p(x | context)      nats per example; of a bound, minus its mean with fresh noise
//! ```

use burn::tensor::Tensor;

use super::fault::{Fault, FaultSearch};
use super::gradient_search::GradientSearch;
use crate::bijector::Bijector;
use crate::bound_flow::BoundFlow;
use crate::context::Context;
use crate::finite::all_finite;
use crate::flow::Flow;
use crate::layer::LayerWalk;
use crate::prior::Prior;
use crate::surjection::Surjection;

/// What [`Trainer::update_on`](super::Trainer::update_on) makes smaller.
pub trait Objective<M> {
    /// Mean loss of a batch in nats per example, `[1]`.
    fn loss(&self, model: &M) -> Tensor<1>;

    /// The first place of the model where numbers are not finite, asked after a loss that is not, with the device seeded as it was for
    /// that loss. `None` if none is found.
    fn fault(&self, model: &M) -> Option<Fault>;

    /// The layer at which the gradient of a finite loss stops being finite on its way back, asked and seeded in the same way. `None` if none
    /// is found: the gradient of a parameter may be at fault where that of the layer's input is not.
    fn gradient_fault(&self, model: &M) -> Option<Fault>;
}

/// Minus the mean log-likelihood of a batch, for a [`Flow`] or a [`BoundFlow`] of tensors with `D` axes.
#[derive(Debug, Clone)]
pub struct NegativeLogLikelihood<const D: usize, X, C = ()> {
    /// The batch.
    pub x: X,
    /// Its condition.
    pub context: C,
}

impl<const D: usize, X> NegativeLogLikelihood<D, X> {
    /// Of a batch for an unconditional model.
    pub fn new(x: X) -> Self {
        Self { x, context: () }
    }
}

impl<const D: usize, X, C: Context> NegativeLogLikelihood<D, X, C> {
    /// Of a batch and its condition.
    pub fn given(x: X, context: C) -> Self {
        Self { x, context }
    }
}

impl<const D: usize, C, B, P> Objective<Flow<B, P>> for NegativeLogLikelihood<D, Tensor<D>, C>
where
    C: Context,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    fn loss(&self, model: &Flow<B, P>) -> Tensor<1> {
        model.log_prob_given(self.x.clone(), &self.context).mean().neg()
    }

    fn fault(&self, model: &Flow<B, P>) -> Option<Fault> {
        let mut search = FaultSearch::default();
        if !all_finite(&self.x) {
            search.note("x".into(), "data");
        }
        if !self.context.is_finite() {
            search.note("context".into(), "condition");
        }
        let z = model.visit_layers(self.x.clone(), &self.context, &mut LayerWalk::new(&mut search));
        if !all_finite(&model.prior.log_prob(z, &self.context)) {
            search.note("prior".into(), "log-density");
        }
        search.fault
    }

    fn gradient_fault(&self, model: &Flow<B, P>) -> Option<Fault> {
        let mut search = GradientSearch::default();
        let z = model.visit_layers(self.x.clone(), &self.context, &mut LayerWalk::new(&mut search));
        search.fault(model.prior.log_prob(z, &self.context).mean().neg(), "prior")
    }
}

impl<const D: usize, C, S, B, P> Objective<BoundFlow<S, B, P>> for NegativeLogLikelihood<D, S::Data, C>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    fn loss(&self, model: &BoundFlow<S, B, P>) -> Tensor<1> {
        model.loss_given(self.x.clone(), &self.context)
    }

    fn fault(&self, model: &BoundFlow<S, B, P>) -> Option<Fault> {
        let mut search = FaultSearch::default();
        if !self.context.is_finite() {
            search.note("context".into(), "condition");
        }
        // The same order of draws as in the loss: first the noise, then what the layers drop.
        let noise = model.surjection.noise(&self.x, model.flow.dtype());
        let z = model.visit_layers(self.x.clone(), noise, &self.context, &mut LayerWalk::new(&mut search));
        if !all_finite(&model.flow.prior.log_prob(z, &self.context)) {
            search.note("flow.prior".into(), "log-density");
        }
        search.fault
    }

    fn gradient_fault(&self, model: &BoundFlow<S, B, P>) -> Option<Fault> {
        let mut search = GradientSearch::default();
        let noise = model.surjection.noise(&self.x, model.flow.dtype());
        let z = model.visit_layers(self.x.clone(), noise, &self.context, &mut LayerWalk::new(&mut search));
        search.fault(model.flow.prior.log_prob(z, &self.context).mean().neg(), "flow.prior")
    }
}
