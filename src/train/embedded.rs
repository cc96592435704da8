//! The likelihood of a flow with an encoder as an objective: the gradient reaches both.
//! ```text
//! loss    −mean ln p(x | encoder(y))           nats per example
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::gradient_search::GradientSearch;
use super::non_finite_place::NonFinitePlace;
use super::objective::{NegativeLogLikelihood, Objective};
use crate::bijector::Bijector;
use crate::bijector::replay::Replay;
use crate::bijector::visit::Visit;
use crate::context::Context;
use crate::encoder::Encoder;
use crate::error::FlowError;
use crate::flow::surjection::Surjection;
use crate::flow::{Density, Embedded, Flow, or_panic};
use crate::prior::Prior;
use crate::tensor::finite::NonFiniteContext;
use crate::tensor::type_name::type_name;

impl<E, B, P, const D: usize, C, S, const K: usize> Objective<Embedded<E, Flow<B, P, D, C, S>, K>>
    for NegativeLogLikelihood<S::Data, Tensor<K>>
where
    E: Encoder<K, Code = C>,
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    type Provenance = S::Provenance;

    fn provenance(&self) -> S::Provenance {
        S::PROVENANCE
    }

    fn dims(&self, model: &Embedded<E, Flow<B, P, D, C, S>, K>) -> usize {
        model.given(&self.context).dims()
    }

    fn loss(&self, model: &Embedded<E, Flow<B, P, D, C, S>, K>) -> Tensor<1> {
        or_panic(model.fit_batch(&self.x, &self.context));
        let code = model.encoder.encode(self.context.clone());
        self.clone().given_instead(code).loss(&model.flow)
    }

    fn replay(
        &self,
        model: &Embedded<E, Flow<B, P, D, C, S>, K>,
        replay: &mut Replay<()>,
    ) -> Option<Tensor<1>> {
        Some(model.replay_unread(self.x.clone(), &self.context, self.weights(), replay))
    }

    fn check(&self, model: &Embedded<E, Flow<B, P, D, C, S>, K>) -> Result<(), FlowError> {
        self.check_unread(model)?;
        model.given(&self.context).check(&self.x)
    }

    fn check_unread(&self, model: &Embedded<E, Flow<B, P, D, C, S>, K>) -> Result<(), FlowError> {
        FlowError::check_weights(model.fit_batch(&self.x, &self.context)?, self.weights())
    }

    fn non_finite_context(&self) -> Option<NonFiniteContext> {
        self.context.non_finite()
    }

    fn examples(&self, model: &Embedded<E, Flow<B, P, D, C, S>, K>) -> usize {
        model.flow.surjection.shape(&self.x).map_or(0, |lifted| lifted[0])
    }

    fn mean_weight(&self) -> f64 {
        self.mean_of_weights()
    }

    fn fault(&self, model: &Embedded<E, Flow<B, P, D, C, S>, K>) -> Option<NonFinitePlace> {
        let place = |path: &str, what: &'static str| {
            Some(NonFinitePlace { path: path.to_owned(), what: what.into() })
        };
        if self.context.non_finite().is_some() {
            return place("context", "condition");
        }
        let code = model.encoder.encode(self.context.clone());
        if !code.is_finite() {
            return place("encoder", type_name::<E>());
        }
        let NonFinitePlace { path, what } = self.clone().given_instead(code).fault(&model.flow)?;
        // The data is no part of the flow.
        let path = if path == "x" { path } else { format!("flow.{path}") };
        Some(NonFinitePlace { path, what })
    }

    fn gradient_fault(
        &self,
        model: &Embedded<E, Flow<B, P, D, C, S>, K>,
    ) -> Option<NonFinitePlace> {
        let (x, flow) = (&self.x, &model.flow);
        let batch = model.fit_batch(x, &self.context).ok()?;
        let device = model.devices().into_iter().next()?.autodiff();
        let mut search = GradientSearch::new(model, device.clone())?;
        let code = model.encoder.encode(self.context.constant(&device)).for_batch(batch);
        let noise = model.given(&self.context).noise(x).constant(&device);
        let mut visit = Visit::new(&mut search);
        visit.part("encoder", || code.is_finite());
        let z = visit.within("flow", |visit| flow.visit_layers(x.clone(), noise, &code, visit));
        let log_density = |z| flow.prior.log_prob(z, &code);
        search.fault(model, z, "flow.prior", self.weights(), log_density)
    }
}
