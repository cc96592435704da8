//! Objective: a loss that can find its fault.
//!
//! ```text
//! NegativeLogLikelihood   −mean ln p(x | context)      nats per example
//!                         of a bound: minus its mean, with fresh noise
//!            weighted     −mean(w_i ln p(x_i | context_i))
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::gradient_search::GradientSearch;
use super::non_finite_place::{NonFinitePlace, PlaceSearch};
use crate::bijector::Bijector;
use crate::bijector::replay::Replay;
use crate::bijector::visit::Visit;
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::likelihood::Provenance;
use crate::flow::surjection::Surjection;
use crate::flow::{Admitted, Density, Flow, or_panic};
use crate::prior::Prior;
use crate::tensor::finite::{NonFiniteContext, all_finite};
use crate::tensor::per_example::weighted_mean;

/// The loss that [`Trainer::update_on`](super::Trainer::update_on) minimises.
pub trait Objective<M> {
    /// How the log-likelihood is found whose negative mean is the loss.
    type Provenance: Provenance;

    /// How the log-likelihood is found whose negative mean is the loss.
    fn provenance(&self) -> Self::Provenance;

    /// Number of elements of an example, by which bits/dim are normalised.
    fn dims(&self, model: &M) -> usize;

    /// Mean loss of a batch in nats per example, `[1]`. For any other shape an update returns
    /// [`TrainError::LossShape`](super::TrainError::LossShape).
    fn loss(&self, model: &M) -> Tensor<1>;

    /// Loss of the batch by a replay, a forward and a backward pass without a stored graph; its
    /// gradients are in `replay`. Memory-saving policies call it instead of [`Objective::loss`]. A
    /// loss that is not finite has no gradients. `None` for an objective without a replay.
    fn replay(&self, model: &M, replay: &mut Replay<()>) -> Option<Tensor<1>> {
        let _ = (model, replay);
        None
    }

    /// Checks that the batch fits the model. The default accepts every batch, for losses that check
    /// it themselves.
    ///
    /// An update calls [`Objective::check_unread`] before anything is computed, and this method
    /// only after a loss that is not finite.
    ///
    /// # Errors
    /// If shape, type or device of the batch or of its condition do not fit the model, or if values
    /// of the batch are outside the range that the model accepts.
    fn check(&self, model: &M) -> Result<(), FlowError> {
        let _ = model;
        Ok(())
    }

    /// The part of [`Objective::check`] that copies nothing from the device: shapes, types and
    /// devices. A batch that [`Objective::check`] alone refuses must have a loss of NaN, so that
    /// the update fails and returns the error of that check. The default is the whole check, for
    /// any objective.
    ///
    /// # Errors
    /// As [`Objective::check`], except for the values of the batch.
    fn check_unread(&self, model: &M) -> Result<(), FlowError> {
        self.check(model)
    }

    /// The place in the condition of the batch that is not finite. It is called before the loss.
    /// `None` if there is no condition, or if it is finite.
    fn non_finite_context(&self) -> Option<NonFiniteContext> {
        None
    }

    /// Number of examples of the batch, at least 1: its weight among the micro-batches of one
    /// update.
    fn examples(&self, model: &M) -> usize;

    /// Mean weight of the examples. The loss divided by it is minus the mean log-likelihood, and
    /// is reported in bits/dim.
    fn mean_weight(&self) -> f64 {
        1.0
    }

    /// The first place of the model, in the order of the forward pass, where values are not finite.
    /// Called after a loss that is not finite, with the device seeded as for that loss. `None` if
    /// none is found.
    fn fault(&self, model: &M) -> Option<NonFinitePlace>;

    /// The first layer in the backward pass of a finite loss at which the gradient is not finite.
    /// Called after such a gradient, with the device seeded as for the loss. `None` if none is
    /// found, or if the model is outside any graph.
    fn gradient_fault(&self, model: &M) -> Option<NonFinitePlace>;
}

/// Minus the mean log-likelihood of a batch, or of a bound on it, for a [`Flow`].
///
/// The loss is NaN for a batch with values outside the range of the model, such as a level of 256
/// in 8-bit images. An update then returns [`FlowError::Level`], as it does before it computes
/// anything for shapes that do not fit.
#[derive(Debug, Clone)]
pub struct NegativeLogLikelihood<X, C = ()> {
    /// The batch.
    pub x: X,
    /// Its condition.
    pub context: C,
    weights: Option<Vec<f64>>,
}

impl<X> NegativeLogLikelihood<X> {
    /// The loss of a batch, for an unconditional model.
    pub fn new(x: X) -> Self {
        Self { x, context: (), weights: None }
    }
}

impl<X, C: Context> NegativeLogLikelihood<X, C> {
    /// The loss of a batch with its condition.
    pub fn given(x: X, context: C) -> Self {
        Self { x, context, weights: None }
    }

    /// The same batch with a weight for each example, under every
    /// [`GradientMemory`](crate::GradientMemory) policy: the loss is `−mean(w_i ln p(x_i))`.
    ///
    /// Scale weights to a mean of 1 over the data set. The losses of the batches of an epoch then
    /// have the mean `−Σ w_i ln p(x_i) / Σ w_i`, in which a weight of 2 is a second copy. An update
    /// returns an error for a negative weight, for one that is not finite, and if their number is
    /// not that of the examples.
    #[must_use]
    pub fn weighted(self, weights: Vec<f64>) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// The same batch with these weights, or with equal ones.
    pub(in crate::train) fn weighing(self, weights: Option<Vec<f64>>) -> Self {
        Self { weights, ..self }
    }

    /// The same batch with another condition.
    pub(super) fn given_instead<E>(self, context: E) -> NegativeLogLikelihood<X, E> {
        NegativeLogLikelihood { x: self.x, context, weights: self.weights }
    }

    /// The weight of each example, or `None` if all weights are equal.
    pub(super) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Mean weight of the examples; 1 without weights.
    pub(super) fn mean_of_weights(&self) -> f64 {
        self.weights().map_or(1.0, |weights| weights.iter().sum::<f64>() / weights.len() as f64)
    }
}

impl<B, P, const D: usize, C, S> Objective<Flow<B, P, D, C, S>>
    for NegativeLogLikelihood<S::Data, C>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    type Provenance = S::Provenance;

    fn provenance(&self) -> S::Provenance {
        S::PROVENANCE
    }

    fn dims(&self, model: &Flow<B, P, D, C, S>) -> usize {
        model.given(&self.context).dims()
    }

    fn loss(&self, model: &Flow<B, P, D, C, S>) -> Tensor<1> {
        let log_prob = or_panic(model.unread_weight(self.x.clone(), &self.context));
        let weights = self.weights();
        or_panic(FlowError::check_weights(log_prob.dims()[0], weights));
        weighted_mean(log_prob, weights).neg()
    }

    fn replay(&self, model: &Flow<B, P, D, C, S>, replay: &mut Replay<()>) -> Option<Tensor<1>> {
        let (x, weights) = (self.x.clone(), self.weights());
        let (loss, _) =
            replay.conditioned(|replay| model.replay_unread(x, &self.context, weights, replay));
        Some(loss)
    }

    fn check(&self, model: &Flow<B, P, D, C, S>) -> Result<(), FlowError> {
        let admitted = model.fit(&self.x, &self.context)?;
        FlowError::check_weights(admitted.batch, self.weights())
    }

    fn check_unread(&self, model: &Flow<B, P, D, C, S>) -> Result<(), FlowError> {
        let admitted = model.fit_unread(&self.x, &self.context)?;
        FlowError::check_weights(admitted.batch, self.weights())
    }

    fn non_finite_context(&self) -> Option<NonFiniteContext> {
        self.context.non_finite()
    }

    fn examples(&self, model: &Flow<B, P, D, C, S>) -> usize {
        // Data of a shape that the surjection does not accept has no examples, and the update
        // returns an error.
        model.surjection.shape(&self.x).map_or(0, |lifted| lifted[0])
    }

    fn mean_weight(&self) -> f64 {
        self.mean_of_weights()
    }

    fn fault(&self, model: &Flow<B, P, D, C, S>) -> Option<NonFinitePlace> {
        let mut search = PlaceSearch::default();
        if model
            .surjection
            .non_finite(&self.x)
            .is_ok_and(|counts| counts.into_iter().flatten().any(|count| count > 0))
        {
            search.note("x".into(), "data");
        }
        if !self.context.is_finite() {
            search.note("context".into(), "condition");
        }
        // The same order of random draws as in the loss: first the noise, then the dropout of the
        // layers.
        let noise = model.given(&self.context).noise(&self.x);
        let z =
            model.visit_layers(self.x.clone(), noise, &self.context, &mut Visit::new(&mut search));
        if !all_finite(&model.prior.log_prob(z.clone(), &self.context.for_batch(z.dims()[0]))) {
            search.note("prior".into(), "log-density");
        }
        search.fault
    }

    fn gradient_fault(&self, model: &Flow<B, P, D, C, S>) -> Option<NonFinitePlace> {
        let Admitted { batch, placement, .. } = model.fit_unread(&self.x, &self.context).ok()?;
        let noise = model.given(&self.context).noise(&self.x);
        let device = model.devices().into_iter().next().unwrap_or(placement.device).autodiff();
        let mut search = GradientSearch::new(model, device.clone())?;
        let (noise, context) =
            (noise.constant(&device), self.context.for_batch(batch).constant(&device));
        let z = model.visit_layers(self.x.clone(), noise, &context, &mut Visit::new(&mut search));
        let weights = self.weights();
        search.fault(model, z, "prior", weights, |z| model.prior.log_prob(z, &context))
    }
}
