//! Forward Kullback-Leibler divergence from a target, by importance-weighted samples of the flow.
//! ```text
//! x_i ~ q₀,  w_i = p̃(x_i)^(1/T)/q₀(x_i),  w̄_i = w_i/Σ w          q₀: the flow, held fixed
//! L = −Σ w̄_i ln q(x_i)                    E[L] → KL(p_T‖q) + entropy of p_T,  nats
//! ∇L = −Σ w̄_i ∂ ln q(x_i)/∂θ
//! ```
//! `T` is the temperature, and `p_T ∝ p̃^(1/T)`; `p_1` is the target `p`. `w̄` is self-normalised,
//! so the gradient has a bias that falls as `1/n`. Its mean is 0 at an exact fit, where all weights
//! are equal. The target is not differentiated, and may be `−∞` at some samples.
//! The prior need not be reparametrised.
//!
//! # Cost
//! A pass of the inverse without a graph, a pass forward and back, and two device-to-host copies of
//! `n` values.
//!
//! # Reference
//! Müller, McWilliams, Rousselle, Gross & Novák 2019, *Neural importance sampling*, §5.

use burn::tensor::Tensor;

use super::estimate::DivergenceEstimate;
use super::sampled::{Sampled, nan};
use crate::bijector::Bijector;
use crate::bijector::replay::Replay;
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::{Density, Flow};
use crate::importance::Target;
use crate::prior::Prior;
use crate::tensor::finite::NonFiniteContext;
use crate::train::{NonFinitePlace, Objective};

/// The forward Kullback-Leibler divergence. The formulas head this module.
#[derive(Debug)]
pub struct ForwardKl<'a, T, C = ()> {
    sampled: Sampled<'a, T, C>,
}

impl<T, C: Clone> Clone for ForwardKl<'_, T, C> {
    fn clone(&self) -> Self {
        Self { sampled: self.sampled.clone() }
    }
}

impl<'a, T> ForwardKl<'a, T> {
    /// The divergence of an unconditional flow, from `n` of its own samples, at temperature 1.
    pub fn new(target: &'a T, n: usize) -> Self {
        Self::given(target, n, ())
    }
}

impl<'a, T, C> ForwardKl<'a, T, C> {
    /// The divergence of a flow given a condition, of one row or of `n`.
    pub fn given(target: &'a T, n: usize, context: C) -> Self {
        Self { sampled: Sampled { target, n, context, temperature: 1.0 } }
    }

    /// The same at the temperature `T`, from 1e-6 to 1e6: the log-density of the target is divided
    /// by it.
    #[must_use]
    pub fn with_temperature(self, temperature: f64) -> Self {
        Self { sampled: Sampled { temperature, ..self.sampled } }
    }
}

impl<T, B, P, const D: usize, C> Objective<Flow<B, P, D, C>> for ForwardKl<'_, T, C>
where
    C: Context,
    T: Target<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    type Provenance = DivergenceEstimate;

    fn provenance(&self) -> DivergenceEstimate {
        DivergenceEstimate
    }

    fn dims(&self, model: &Flow<B, P, D, C>) -> usize {
        model.given(&self.sampled.context).dims()
    }

    fn loss(&self, model: &Flow<B, P, D, C>) -> Tensor<1> {
        match self.sampled.weighted(model, 1.0) {
            Some((likelihood, _)) => likelihood.loss(model),
            None => nan(model),
        }
    }

    fn replay(&self, model: &Flow<B, P, D, C>, replay: &mut Replay<()>) -> Option<Tensor<1>> {
        match self.sampled.weighted(model, 1.0) {
            Some((likelihood, _)) => likelihood.replay(model, replay),
            None => Some(nan(model).inner()),
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
        self.sampled.weighted_fault(model)
    }

    fn gradient_fault(&self, model: &Flow<B, P, D, C>) -> Option<NonFinitePlace> {
        self.sampled
            .weighted(model, 1.0)
            .and_then(|(likelihood, _)| likelihood.gradient_fault(model))
    }
}
