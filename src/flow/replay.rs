//! Loss and gradients of a whole flow by a replay: see [`Replay`](crate::bijector::replay::Replay).

use burn::tensor::Tensor;

use super::admission::or_panic;
use super::{Admitted, Flow};
use crate::bijector::Bijector;
use crate::bijector::replay::{Cotangent, Replay, scaled};
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::surjection::Surjection;
use crate::prior::Prior;
use crate::tensor::finite::all_finite;
use crate::tensor::graph::{constant, graph_device};
use crate::tensor::per_example::weighted_mean;

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// [`Density::loss`](crate::Density::loss) by a replay: `[1]`, without a graph. The gradients
    /// of the parameters are added to `replay`, unless the loss is not finite. With weights, one
    /// for each example, the loss is `−mean(w_i ln p_i)`.
    ///
    /// A condition of one row applies to every example. Its gradient then has one row for each
    /// example; the sum of these rows is the gradient of the single row.
    ///
    /// # Panics
    /// As [`Density::log_prob`](crate::Density::log_prob), and if the number of weights is not
    /// that of the examples.
    pub fn replay(
        &self,
        x: S::Data,
        context: &C,
        weights: Option<&[f64]>,
        replay: &mut Replay<C>,
    ) -> Tensor<1> {
        let admitted = or_panic(self.fit(&x, context));
        self.replay_admitted(x, admitted, weights, replay)
    }

    /// [`Flow::replay`] without the check of the data's values. The loss is NaN if they are outside
    /// the range of the surjection.
    pub(crate) fn replay_unread(
        &self,
        x: S::Data,
        context: &C,
        weights: Option<&[f64]>,
        replay: &mut Replay<C>,
    ) -> Tensor<1> {
        let admitted = or_panic(self.fit_unread(&x, context));
        self.replay_admitted(x, admitted, weights, replay)
    }

    fn replay_admitted(
        &self,
        x: S::Data,
        admitted: Admitted<C>,
        weights: Option<&[f64]>,
        replay: &mut Replay<C>,
    ) -> Tensor<1> {
        let Admitted { batch, placement, context } = admitted;
        or_panic(FlowError::check_weights(batch, weights));
        let noise = self.replay_noise(&x);
        replay.scoped(&placement.device, |replay| {
            self.replay_scoped(x, noise, &context, weights, replay)
        })
    }

    /// The noise of a replay. It is sampled from the caller's stream, as in `loss`.
    pub(super) fn replay_noise(&self, x: &S::Data) -> S::Noise {
        self.surjection.noise(x, self.dtype()).plain()
    }

    /// A replay of a batch that passed the checks, in the scope of `replay`.
    pub(super) fn replay_scoped(
        &self,
        x: S::Data,
        noise: S::Noise,
        context: &C,
        weights: Option<&[f64]>,
        replay: &mut Replay<C>,
    ) -> Tensor<1> {
        let Self { surjection, bijector, prior, .. } = self;
        let lift = |replay: &mut Replay<()>| {
            replay.within("surjection", |replay| {
                surjection.replay_lift(x.clone(), noise.clone(), replay)
            })
        };
        let ((y, log_weight), ()) = replay.conditioned(lift);
        let (z, log_det) =
            replay.within("bijector", |replay| bijector.replay_forward(y.inner(), context, replay));
        // The prior has its own graph, with latents and log-determinant as leaves. The order of the
        // sums is that of `log_prob`. The weights enter here alone: the gradients that the layers
        // receive contain them.
        let device = graph_device(self, &z);
        let (latents, log_det) = (
            constant(z.clone(), &device).require_grad(),
            constant(log_det, &device).require_grad(),
        );
        let condition = context.leaf(&device);
        let log_prob = prior.log_prob(latents.clone(), &condition) + log_det.clone();
        let log_prob = log_prob + constant(log_weight, &device);
        let loss = weighted_mean(log_prob, weights).neg();
        let value = loss.clone().inner();
        if !all_finite(&value) {
            return value;
        }
        let mut gradients = scaled(loss, replay.loss_scale).backward();
        // A uniform prior gives its latents no gradient.
        let grad_z = latents.grad_remove(&mut gradients).unwrap_or_else(|| z.zeros_like());
        let zero = || log_det.clone().inner().zeros_like();
        let grad_log_det = log_det.grad_remove(&mut gradients).unwrap_or_else(zero);
        replay.collect(prior, &condition, &mut gradients);
        let back = Cotangent { z, grad_z, grad_log_det };
        let back = replay.within("bijector", |replay| bijector.replay_back(back, context, replay));
        let lower = |replay: &mut Replay<()>| {
            replay.within("surjection", |replay| {
                surjection.replay_back(x.clone(), noise.clone(), back, replay)
            })
        };
        replay.conditioned(lower);
        value
    }
}
