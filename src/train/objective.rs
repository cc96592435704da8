//! Objective: a loss that can say where it went wrong.
//!
//! ```text
//! NegativeLogLikelihood   −mean ln p(x | context)      nats per example; of a bound, minus its mean with fresh noise
//! ```

use burn::tensor::Tensor;

use super::gradient_search::GradientSearch;
use super::non_finite_place::{NonFinitePlace, PlaceSearch};
use crate::bijector::Bijector;
use crate::bijector::replay::Replay;
use crate::bijector::visit::Visit;
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::Flow;
use crate::flow::bound::BoundFlow;
use crate::flow::surjection::Surjection;
use crate::prior::Prior;
use crate::tensor::finite::{NonFiniteCondition, all_finite};
use crate::tensor::graph::{constant, graph_device};

/// What [`Trainer::update_on`](super::Trainer::update_on) makes smaller.
pub trait Objective<M> {
    /// Mean loss of a batch in nats per example, `[1]`. An update is an error for any other shape:
    /// [`TrainError::LossShape`](super::TrainError::LossShape).
    fn loss(&self, model: &M) -> Tensor<1>;

    /// Loss of the batch by a walk, a forward and a backward pass without a stored graph, and its gradients in `walk`.
    /// Memory-saving policies run it instead of [`Objective::loss`]. A loss that is not finite has no gradients. `None`
    /// for an objective without a walk.
    fn walk(&self, model: &M, walk: &mut Replay<()>) -> Option<Tensor<1>> {
        let _ = (model, walk);
        None
    }

    /// Whether the batch fits the model; called before anything is computed. The default accepts every batch, for
    /// losses that check it themselves.
    ///
    /// # Errors
    /// If shape, type or device of the batch or of its condition do not fit the model.
    fn check(&self, model: &M) -> Result<(), FlowError> {
        let _ = model;
        Ok(())
    }

    /// What is not finite in the condition of the batch; called before the loss. `None` if there is no condition, or if
    /// it is finite.
    fn non_finite_condition(&self) -> Option<NonFiniteCondition> {
        None
    }

    /// Examples of the batch, at least 1: its weight among the micro-batches of one update.
    fn examples(&self, model: &M) -> usize;

    /// The first place of the model, in the order of the forward pass, where values are not finite. Called after a loss
    /// that is not finite, with the device seeded as for that loss. `None` if none is found.
    fn fault(&self, model: &M) -> Option<NonFinitePlace>;

    /// The first layer in the backward pass of a finite loss at which the gradient is not finite. Called after such a
    /// gradient, with the device seeded as for the loss. `None` if none is found, or if the model is outside any graph.
    fn gradient_fault(&self, model: &M) -> Option<NonFinitePlace>;
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

    fn walk(&self, model: &Flow<B, P>, walk: &mut Replay<()>) -> Option<Tensor<1>> {
        let (loss, _) = walk.conditioned(|walk| model.walk(self.x.clone(), None, &self.context, walk).0);
        Some(loss)
    }

    fn check(&self, model: &Flow<B, P>) -> Result<(), FlowError> {
        model.fit(&self.x, &self.context).map(drop)
    }

    fn non_finite_condition(&self) -> Option<NonFiniteCondition> {
        self.context.non_finite()
    }

    fn examples(&self, _: &Flow<B, P>) -> usize {
        self.x.dims()[0]
    }

    fn fault(&self, model: &Flow<B, P>) -> Option<NonFinitePlace> {
        let mut search = PlaceSearch::default();
        if !all_finite(&self.x) {
            search.note("x".into(), "data");
        }
        if !self.context.is_finite() {
            search.note("context".into(), "condition");
        }
        let z = model.visit_layers(self.x.clone(), &self.context, &mut Visit::new(&mut search));
        if !all_finite(&model.prior.log_prob(z.clone(), &self.context.for_batch(z.dims()[0]))) {
            search.note("prior".into(), "log-density");
        }
        search.fault
    }

    fn gradient_fault(&self, model: &Flow<B, P>) -> Option<NonFinitePlace> {
        let device = graph_device(model, &self.x);
        let mut search = GradientSearch::new(model, device.clone())?;
        let context = self.context.for_batch(self.x.dims()[0]).constant(&device);
        let z = model.visit_layers(constant(self.x.clone(), &device), &context, &mut Visit::new(&mut search));
        search.fault(model, z, "prior", |z| model.prior.log_prob(z, &context))
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

    fn walk(&self, model: &BoundFlow<S, B, P>, walk: &mut Replay<()>) -> Option<Tensor<1>> {
        let (loss, _) = walk.conditioned(|walk| model.walk(self.x.clone(), &self.context, walk));
        Some(loss)
    }

    fn check(&self, model: &BoundFlow<S, B, P>) -> Result<(), FlowError> {
        // Fresh noise has the device of the data. The update seeds the device after this.
        model.fit(&self.x, &self.context).map(drop)
    }

    fn non_finite_condition(&self) -> Option<NonFiniteCondition> {
        self.context.non_finite()
    }

    fn examples(&self, model: &BoundFlow<S, B, P>) -> usize {
        // Data that the surjection does not know has no examples, which is an error of the update.
        model.surjection.check(&self.x).map_or(0, |(lifted, _)| lifted[0])
    }

    fn fault(&self, model: &BoundFlow<S, B, P>) -> Option<NonFinitePlace> {
        let mut search = PlaceSearch::default();
        if !self.context.is_finite() {
            search.note("context".into(), "condition");
        }
        // The same order of draws as in the loss: first the noise, then what the layers drop.
        let noise = model.surjection.noise(&self.x, model.flow.dtype());
        let z = model.visit_layers(self.x.clone(), noise, &self.context, &mut Visit::new(&mut search));
        if !all_finite(&model.flow.prior.log_prob(z.clone(), &self.context.for_batch(z.dims()[0]))) {
            search.note("flow.prior".into(), "log-density");
        }
        search.fault
    }

    fn gradient_fault(&self, model: &BoundFlow<S, B, P>) -> Option<NonFinitePlace> {
        let noise = model.surjection.noise(&self.x, model.flow.dtype());
        let device = graph_device(model, &noise);
        let mut search = GradientSearch::new(model, device.clone())?;
        let context = self.context.for_batch(noise.dims()[0]).constant(&device);
        let z = model.visit_layers(self.x.clone(), constant(noise, &device), &context, &mut Visit::new(&mut search));
        search.fault(model, z, "flow.prior", |z| model.flow.prior.log_prob(z, &context))
    }
}
