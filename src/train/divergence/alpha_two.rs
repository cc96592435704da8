//! Divergence with α = 2 from a target: the second moment of the importance weights.
//! ```text
//! w = p̃^(1/T)/q,  L = ln mean w_i²,  x_i ~ q        L → ln E_p[p/q] + 2 ln Z_T,  nats
//! ω_i = w_i²/Σ w²
//! Weighted   −Σ ω_i ∂ ln q(x_i)/∂θ            samples held fixed; the target is not differentiated
//! Total       Σ 2 ω_i d ln w_i/dθ             through samples and density
//! Path       −Σ 2 ω_i (∂ ln w_i/∂x)(∂x/∂θ)    through the samples alone, with the opposite sign
//! ```
//! `T` is the temperature, and here `p = p̃^(1/T)/Z_T`. The variance of the weights is
//! `Z_T²(E_p[p/q] − 1)`: `L` is smallest where an estimate of `Z_T` by samples of `q` has the least
//! error. It is infinite if the tails of `q` are too light.
//!
//! All three estimate the same gradient, with a bias that falls as `1/n` from the ratio of sums.
//! The sign of `Path` follows from it: with `G = E[w² ∂ ln q/∂θ]`, the gradient of `E[w²]` is `−G`,
//! its part of the score alone is `−2G`, so that the part of the samples is `G`. At an exact fit
//! every sample of `Path` is 0.
//!
//! # Reference
//! Müller et al. 2019, §5.2 (`Weighted`); Midgley, Stimper, Simm, Schölkopf & Hernández-Lobato 2023
//! (flow annealed importance sampling bootstrap, with this divergence); Tucker, Lawson, Gu &
//! Maddison 2019 (the path gradient of squared weights).

use burn::tensor::Tensor;

use super::estimate::DivergenceEstimate;
use super::reparametrised::Score;
use super::sampled::{Sampled, nan};
use crate::bijector::Bijector;
use crate::bijector::replay::Replay;
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::{Density, Flow};
use crate::importance::{LogWeights, Target};
use crate::prior::ReparametrisedPrior;
use crate::tensor::finite::NonFiniteContext;
use crate::train::{NonFinitePlace, Objective};

/// Which gradient of the divergence. The formulas head the module of [`AlphaTwo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlphaTwoGradient {
    /// Of the density at fixed samples.
    Weighted,
    /// Of the samples and of the density.
    Total,
    /// Of the samples alone: without variance at an exact fit.
    Path,
}

/// The divergence with α = 2. The formulas head this module.
#[derive(Debug)]
pub struct AlphaTwo<'a, T, C = ()> {
    sampled: Sampled<'a, T, C>,
    gradient: AlphaTwoGradient,
}

impl<T, C: Clone> Clone for AlphaTwo<'_, T, C> {
    fn clone(&self) -> Self {
        Self { sampled: self.sampled.clone(), gradient: self.gradient }
    }
}

impl<'a, T> AlphaTwo<'a, T> {
    /// The divergence of an unconditional flow, from `n` samples, with the weighted gradient and at
    /// temperature 1.
    pub fn new(target: &'a T, n: usize) -> Self {
        Self::given(target, n, ())
    }
}

impl<'a, T, C> AlphaTwo<'a, T, C> {
    /// The divergence of a flow given a condition, of one row or of `n`.
    pub fn given(target: &'a T, n: usize, context: C) -> Self {
        let sampled = Sampled { target, n, context, temperature: 1.0 };
        Self { sampled, gradient: AlphaTwoGradient::Weighted }
    }

    /// The same at the temperature `T`, from 1e-6 to 1e6: the log-density of the target is divided
    /// by it.
    #[must_use]
    pub fn with_temperature(self, temperature: f64) -> Self {
        Self { sampled: Sampled { temperature, ..self.sampled }, ..self }
    }

    /// The same with another gradient.
    #[must_use]
    pub fn with_gradient(self, gradient: AlphaTwoGradient) -> Self {
        Self { gradient, ..self }
    }

    /// How the gradient goes through the samples, if it does.
    fn score(&self) -> Option<Score> {
        match self.gradient {
            AlphaTwoGradient::Weighted => None,
            AlphaTwoGradient::Total => Some(Score::Total),
            AlphaTwoGradient::Path => Some(Score::Path),
        }
    }
}

/// `ln mean exp(2 (ln p̃ − ln q))`, with the gradient's sign changed for the path alone.
fn log_second_moment(score: Score) -> impl Fn(Tensor<1>, Tensor<1>) -> Tensor<1> {
    move |log_target, log_q| {
        let nats = (log_target - log_q).mul_scalar(2.0);
        let n = nats.dims()[0] as f64;
        // The largest weight is 1 relative to itself, so the sum lies in [1, n].
        let most = nats.clone().detach().max();
        let sum = (nats - most.clone()).exp().sum();
        let loss = sum.log().sub_scalar(n.ln()) + most;
        match score {
            Score::Total => loss,
            Score::Path => loss.clone().detach().mul_scalar(2.0) - loss,
        }
    }
}

/// The loss with the gradient of `likelihood`: the likelihood plus a constant.
fn with_value(likelihood: Tensor<1>, weights: &LogWeights) -> Tensor<1> {
    let value = weights.log_mean();
    let own = likelihood.clone().detach();
    // 0 where the likelihood is finite, so that a fault of it stays visible.
    (likelihood - own).add_scalar(value)
}

impl<T, B, P, const D: usize, C> Objective<Flow<B, P, D, C>> for AlphaTwo<'_, T, C>
where
    C: Context,
    T: Target<D>,
    B: Bijector<D, C>,
    P: ReparametrisedPrior<D, C>,
{
    type Provenance = DivergenceEstimate;

    fn provenance(&self) -> DivergenceEstimate {
        DivergenceEstimate
    }

    fn dims(&self, model: &Flow<B, P, D, C>) -> usize {
        model.given(&self.sampled.context).dims()
    }

    fn loss(&self, model: &Flow<B, P, D, C>) -> Tensor<1> {
        match self.score() {
            Some(score) => self.sampled.loss(model, score, log_second_moment(score)),
            None => match self.sampled.weighted(model, 2.0) {
                Some((likelihood, weights)) => with_value(likelihood.loss(model), &weights),
                None => nan(model),
            },
        }
    }

    fn replay(&self, model: &Flow<B, P, D, C>, replay: &mut Replay<()>) -> Option<Tensor<1>> {
        match self.score() {
            Some(score) => {
                Some(self.sampled.replay(model, score, log_second_moment(score), replay))
            }
            None => match self.sampled.weighted(model, 2.0) {
                Some((likelihood, weights)) => {
                    likelihood.replay(model, replay).map(|loss| with_value(loss, &weights))
                }
                None => Some(nan(model).inner()),
            },
        }
    }

    fn check(&self, model: &Flow<B, P, D, C>) -> Result<(), FlowError> {
        self.sampled.check(model)
    }

    fn check_unread(&self, model: &Flow<B, P, D, C>) -> Result<(), FlowError> {
        self.sampled.check_unread(model)
    }

    fn non_finite_context(&self) -> Option<NonFiniteContext> {
        self.sampled.context.non_finite()
    }

    fn examples(&self, _: &Flow<B, P, D, C>) -> usize {
        self.sampled.n
    }

    fn fault(&self, model: &Flow<B, P, D, C>) -> Option<NonFinitePlace> {
        match self.score() {
            Some(_) => self.sampled.fault(model),
            None => self.sampled.weighted_fault(model),
        }
    }

    fn gradient_fault(&self, model: &Flow<B, P, D, C>) -> Option<NonFinitePlace> {
        match self.score() {
            Some(_) => self.sampled.gradient_fault(model),
            None => {
                let (likelihood, _) = self.sampled.weighted(model, 2.0)?;
                likelihood.gradient_fault(model)
            }
        }
    }
}
