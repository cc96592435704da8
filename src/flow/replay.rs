//! Loss and gradients of a whole flow by a walk.

use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::bijector::replay::{Cotangent, Replay, scaled};
use crate::context::Context;
use crate::flow::Flow;
use crate::flow::bound::BoundFlow;
use crate::flow::surjection::Surjection;
use crate::prior::Prior;
use crate::tensor::finite::all_finite;
use crate::tensor::graph::{constant, graph_device};

impl<B, P> Flow<B, P> {
    /// Minus the mean of `ln p(x | context)`, plus `log_weight` where `x` was lifted: `[1]`, without a graph. And the point at `x` from which a
    /// walk goes on back; the gradients of the parameters are in `walk`. There is no such point where the loss is not finite, and nothing was
    /// differentiated.
    ///
    /// A condition of one row applies to every example. Its gradient then has one row for each example; their sum is
    /// the gradient of the one row.
    ///
    /// # Panics
    /// If `x` does not have the flow's shape, type and device, or a layer cannot take the condition.
    pub fn walk<const D: usize, C: Context>(
        &self,
        x: Tensor<D>,
        log_weight: Option<Tensor<1>>,
        context: &C,
        walk: &mut Replay<C>,
    ) -> (Tensor<1>, Option<Cotangent<D>>)
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let context = &self.expect_admitted(&x, context);
        let device = x.device();
        walk.scoped(&device, |walk| self.walk_scoped(x, log_weight, context, walk))
    }

    fn walk_scoped<const D: usize, C: Context>(
        &self,
        x: Tensor<D>,
        log_weight: Option<Tensor<1>>,
        context: &C,
        walk: &mut Replay<C>,
    ) -> (Tensor<1>, Option<Cotangent<D>>)
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let through = |walk: &mut Replay<C>| self.bijector.walk_forward(x.inner(), context, walk);
        let (z, log_det) = walk.within("bijector", through);
        // The prior has a graph of its own, with latents and log-determinant as leaves. The order of the sums is that of `log_prob`.
        let device = graph_device(self, &z);
        let (latents, log_det) =
            (constant(z.clone(), &device).require_grad(), constant(log_det, &device).require_grad());
        let condition = context.leaf(&device);
        let log_prob = self.prior.log_prob(latents.clone(), &condition) + log_det.clone();
        let bound = match log_weight {
            Some(log_weight) => log_prob + constant(log_weight, &device),
            None => log_prob,
        };
        let loss = bound.mean().neg();
        let value = loss.clone().inner();
        if !all_finite(&value) {
            return (value, None);
        }
        let mut gradients = scaled(loss, walk.loss_scale).backward();
        // A uniform prior gives its latents no gradient.
        let grad_z = latents.grad_remove(&mut gradients).unwrap_or_else(|| z.zeros_like());
        let zero = || log_det.clone().inner().zeros_like();
        let grad_log_det = log_det.grad_remove(&mut gradients).unwrap_or_else(zero);
        walk.collect(&self.prior, &condition, &mut gradients);
        let back = Cotangent { z, grad_z, grad_log_det };
        (value, Some(walk.within("bijector", |walk| self.bijector.walk_back(back, context, walk))))
    }
}

impl<S, B, P> BoundFlow<S, B, P> {
    /// [`BoundFlow::loss_given`] with fresh noise by a walk: `[1]`, without a graph. The gradients of the parameters are in `walk`, unless the loss is not
    /// finite.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight_given`].
    pub fn walk<const D: usize, C: Context>(&self, x: S::Data, context: &C, walk: &mut Replay<C>) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        if let Err(error) = self.check_data(&x) {
            panic!("{error}");
        }
        let Self { surjection, flow } = self;
        let noise = surjection.noise(&x, flow.dtype()).inner();
        // The noise is drawn from the caller's stream, as in `loss_given`.
        let device = noise.device();
        walk.scoped(&device, |walk| {
            let lift = |walk: &mut Replay<()>| {
                walk.within("surjection", |walk| surjection.walk_lift(x.clone(), noise.clone(), walk))
            };
            let ((y, log_weight), ()) = walk.conditioned(lift);
            let through = |walk: &mut Replay<C>| flow.walk(y, Some(log_weight), context, walk);
            let (loss, back) = walk.within("flow", through);
            if let Some(back) = back {
                let lower = |walk: &mut Replay<()>| {
                    walk.within("surjection", |walk| surjection.walk_back(x.clone(), noise.clone(), back, walk))
                };
                walk.conditioned(lower);
            }
            loss
        })
    }
}
