//! Losses of samples through which the gradient goes, with and without the score term.
//! ```text
//! x = f⁻¹(z; θ),  z ~ prior(θ),  L = F(ln p̃(x)/T, ln q(x; θ'))
//! Total    θ' = θ              ln q = ln prior(z; θ) − ln|det ∂f⁻¹/∂z|
//! Path     θ' a constant       ln q = ln prior(f(x; θ'); θ') + ln|det ∂f/∂x|, a second pass
//! ```
//! A replay of `Total` is one of the inverse. That of `Path` runs the inverse, then the forward map
//! from its samples and back, which gives `∂ ln q/∂x`, and then the inverse back. The gradients
//! that the pass of the forward map collects are those of `θ'`, and are dropped.

use burn::tensor::Tensor;

use super::sampled::{Sampled, nan};
use crate::bijector::replay::{Cotangent, Replay, scaled};
use crate::bijector::visit::Visit;
use crate::bijector::{Bijector, Direction, Drive};
use crate::context::Context;
use crate::flow::{Flow, Reparametrised};
use crate::importance::Target;
use crate::prior::{Prior, ReparametrisedPrior};
use crate::tensor::finite::all_finite;
use crate::tensor::graph::{constant, graph_device, without_graph};
use crate::train::gradient_search::GradientSearch;
use crate::train::non_finite_place::{NonFinitePlace, PlaceSearch};

/// Whether the parameters of the density itself are differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Score {
    Total,
    Path,
}

/// `F`: from `ln p̃(x)/T` and `ln q(x)`, each `[n]`, to the loss, `[1]`.
pub(super) trait Combine: Fn(Tensor<1>, Tensor<1>) -> Tensor<1> {}

impl<F: Fn(Tensor<1>, Tensor<1>) -> Tensor<1>> Combine for F {}

impl<T, C> Sampled<'_, T, C>
where
    C: Context,
{
    /// The loss, with a graph.
    pub fn loss<B, P, const D: usize>(
        &self,
        model: &Flow<B, P, D, C>,
        score: Score,
        combine: impl Combine,
    ) -> Tensor<1>
    where
        T: Target<D>,
        B: Bijector<D, C>,
        P: ReparametrisedPrior<D, C>,
    {
        let Ok((x, log_q)) = model.given(&self.context).rsample(self.n) else { return nan(model) };
        let log_q = match score {
            Score::Total => log_q,
            Score::Path => {
                let fixed = without_graph(model);
                let context = self.context.for_batch(self.n);
                let (z, log_det) = fixed.bijector.forward(x.clone(), &context);
                fixed.prior.log_prob(z, &context) + log_det
            }
        };
        combine(self.log_target(x), log_q)
    }

    /// The loss by a replay. A loss that is not finite has no gradients.
    pub fn replay<B, P, const D: usize>(
        &self,
        model: &Flow<B, P, D, C>,
        score: Score,
        combine: impl Combine,
        replay: &mut Replay<()>,
    ) -> Tensor<1>
    where
        T: Target<D>,
        B: Bijector<D, C>,
        P: ReparametrisedPrior<D, C>,
    {
        let Ok((context, latents)) = model.draw_latents(self.n, 1.0, &self.context) else {
            return nan(model).inner();
        };
        let device = graph_device(model, &latents);
        let context = context.constant(&device);
        let pass = |replay: &mut Replay<C>| {
            self.replay_from(model, latents.clone(), &context, score, &combine, replay)
        };
        replay.scoped(&device, |replay| replay.conditioned(pass)).0
    }

    fn replay_from<B, P, const D: usize>(
        &self,
        model: &Flow<B, P, D, C>,
        latents: Tensor<D>,
        context: &C,
        score: Score,
        combine: &impl Combine,
        replay: &mut Replay<C>,
    ) -> Tensor<1>
    where
        T: Target<D>,
        B: Bijector<D, C>,
        P: ReparametrisedPrior<D, C>,
    {
        let Flow { bijector, prior, .. } = model;
        let plain = context.plain();
        let (x, log_det) = replay.within("bijector", |replay| {
            let z = latents.clone().inner();
            B::Driver::replay_forward(bijector, Direction::Inverse, z, &plain, replay)
        });
        let device = graph_device(model, &x);
        let leaf = |value: Tensor<D>| constant(value, &device).require_grad();
        let (sample, condition) = (leaf(x.clone()), context.leaf(&device));
        // The latents and the log-determinant that `ln q` is computed from.
        let (z, log_det) = match score {
            Score::Total => (latents.clone().inner(), log_det.neg()),
            Score::Path => replay.within("bijector", |replay| {
                B::Driver::replay_forward(bijector, Direction::Forward, x.clone(), &plain, replay)
            }),
        };
        let (z_leaf, det_leaf) =
            (leaf(z.clone()), constant(log_det.clone(), &device).require_grad());
        let log_prior = match score {
            Score::Total => prior.log_prob(z_leaf.clone(), &condition),
            Score::Path => without_graph(prior).log_prob(z_leaf.clone(), &condition),
        };
        let loss = combine(self.log_target(sample.clone()), log_prior + det_leaf.clone());
        let value = loss.clone().inner();
        if !all_finite(&value) {
            // Nothing of the pass is kept: what the policy kept is dropped with the replay.
            return value;
        }
        let mut gradients = scaled(loss, replay.loss_scale).backward();
        // A target that is constant, or a uniform prior, has no gradient.
        let mut grad_x =
            sample.grad_remove(&mut gradients).unwrap_or_else(|| x.clone().zeros_like());
        let grad_z = z_leaf.grad_remove(&mut gradients).unwrap_or_else(|| z.clone().zeros_like());
        let grad_log_det =
            det_leaf.grad_remove(&mut gradients).unwrap_or_else(|| log_det.zeros_like());
        let zero = grad_log_det.clone().zeros_like();
        let (grad_latents, grad_log_det) = match score {
            Score::Total => {
                replay.collect(prior, &condition, &mut gradients);
                (Some(grad_z), grad_log_det.neg())
            }
            Score::Path => {
                let kept = std::mem::take(&mut replay.parameters);
                let back = replay.within("bijector", |replay| {
                    let back = Cotangent { z, grad_z, grad_log_det };
                    B::Driver::replay_back(bijector, Direction::Forward, back, &plain, replay)
                });
                replay.parameters = kept;
                grad_x = grad_x + back.grad_z;
                (None, zero)
            }
        };
        let back = replay.within("bijector", |replay| {
            let back = Cotangent { z: x, grad_z: grad_x, grad_log_det };
            B::Driver::replay_back(bijector, Direction::Inverse, back, &plain, replay)
        });
        // The latents are a function of the prior's parameters.
        if latents.is_tracked() {
            let grad = match grad_latents {
                Some(own) => back.grad_z + own,
                None => back.grad_z,
            };
            let outward = (latents * constant(grad, &device)).sum();
            replay.collect(prior, &condition, &mut outward.backward());
        }
        value
    }

    /// The first place where values are not finite, in the order of sampling.
    pub fn fault<B, P, const D: usize>(&self, model: &Flow<B, P, D, C>) -> Option<NonFinitePlace>
    where
        T: Target<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let mut search = PlaceSearch::default();
        if !self.context.is_finite() {
            search.note("context".into(), "condition");
        }
        let (context, z) = model.draw_latents(self.n, 1.0, &self.context).ok()?;
        if !all_finite(&model.prior.log_prob(z.clone(), &context)) {
            search.note("prior".into(), "log-density");
        }
        let x = sample_by(model, z, &context, &mut Visit::new(&mut search));
        if !all_finite(&self.log_target(x)) {
            search.note("target".into(), "log-density");
        }
        search.fault
    }

    /// The first layer in the backward pass at which the gradient of the target is not finite.
    pub fn gradient_fault<B, P, const D: usize>(
        &self,
        model: &Flow<B, P, D, C>,
    ) -> Option<NonFinitePlace>
    where
        T: Target<D>,
        B: Bijector<D, C>,
        P: ReparametrisedPrior<D, C>,
    {
        let (context, z) = model.draw_latents(self.n, 1.0, &self.context).ok()?;
        let device = graph_device(model, &z);
        let mut search = GradientSearch::new(model, device.clone())?;
        let (z, context) = (constant(z, &device), context.constant(&device));
        let x = sample_by(model, z, &context, &mut Visit::new(&mut search));
        search.fault(model, x, "target", None, |x| self.log_target(x))
    }
}

/// Runs latents through the layers of the inverse, one at a time.
fn sample_by<B, P, const D: usize, C>(
    model: &Flow<B, P, D, C>,
    z: Tensor<D>,
    context: &C,
    visit: &mut Visit<'_, D>,
) -> Tensor<D>
where
    C: Context,
    B: Bijector<D, C>,
{
    visit.within("bijector", |visit| {
        B::Driver::visit(&model.bijector, Direction::Inverse, z, context, visit)
    })
}
