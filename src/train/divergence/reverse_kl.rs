//! Reverse Kullback-Leibler divergence from a target, over samples of the flow.
//! ```text
//! L = mean(ln q(x_i) − ln p̃(x_i)/T),  x_i ~ q                 E[L] = KL(q‖p_T) − ln Z_T,  nats
//! Total    ∇L of x and of q
//! Path     ∇L of x alone: the score ∂ ln q(x)/∂θ at a fixed x is left out
//! ```
//! `T` is the temperature, and `p_T = p̃^(1/T)/Z_T`; `p_1` is the target `p`.
//! The score has the mean 0, so both gradients are unbiased. At an exact fit, `q = p_T`, every
//! sample of `Path` is 0, while those of `Total` are the scores. `Path` costs a second pass through
//! the flow.
//!
//! # Numerics
//! A target of `−∞` at a sample makes the loss infinite: the target must be positive wherever the
//! flow samples. With dropout the two passes of `Path` have different masks, and its gradient is
//! that of no function.
//!
//! # Reference
//! Rezende & Mohamed 2015 (`Total`); Roeder, Wu & Duvenaud 2017 and Vaitl, Nicoli, Nakajima &
//! Kessel 2022 (`Path`).
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::train::{ReverseKl, Trainer, TrainerConfig};
//! use flowkit::{DiagonalNormalConfig, Flow, Swap};
//!
//! let device = Device::flex().autodiff();
//! let flow = Flow::build(&Swap::new(), DiagonalNormalConfig::new(), [1, 2], &device)?;
//! let target = |x: Tensor<2>| {
//!     x.sub_scalar(2.0).square().sum_dim(1).squeeze_dim::<1>(1).mul_scalar(-0.5)
//! };
//! let rate = TrainerConfig::new().with_learning_rate(0.05);
//! let mut trainer = Trainer::new(flow.without_data(), rate)?;
//! for _ in 0..200 {
//!     trainer.update_on(&device, &ReverseKl::new(&target, 64))?;
//! }
//! let mean = trainer.model().prior.mean.val().into_data().to_vec::<f32>()?;
//! assert!(mean.iter().all(|mean| (mean - 2.0).abs() < 0.1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use burn::tensor::Tensor;

use super::estimate::DivergenceEstimate;
use super::reparametrised::Score;
use super::sampled::Sampled;
use crate::bijector::Bijector;
use crate::bijector::replay::Replay;
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::{Density, Flow};
use crate::importance::Target;
use crate::prior::ReparametrisedPrior;
use crate::tensor::finite::NonFiniteContext;
use crate::train::{NonFinitePlace, Objective};

/// Which gradient of the reverse divergence. The formulas head the module of [`ReverseKl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReverseKlGradient {
    /// Of the samples and of the density.
    Total,
    /// Of the samples alone: without variance at an exact fit.
    Path,
}

/// The reverse Kullback-Leibler divergence. The formulas head this module.
#[derive(Debug)]
pub struct ReverseKl<'a, T, C = ()> {
    sampled: Sampled<'a, T, C>,
    gradient: ReverseKlGradient,
}

impl<T, C: Clone> Clone for ReverseKl<'_, T, C> {
    fn clone(&self) -> Self {
        Self { sampled: self.sampled.clone(), gradient: self.gradient }
    }
}

impl<'a, T> ReverseKl<'a, T> {
    /// The divergence of an unconditional flow, from `n` samples, with the path gradient and at
    /// temperature 1.
    pub fn new(target: &'a T, n: usize) -> Self {
        Self::given(target, n, ())
    }
}

impl<'a, T, C> ReverseKl<'a, T, C> {
    /// The divergence of a flow given a condition, of one row or of `n`.
    pub fn given(target: &'a T, n: usize, context: C) -> Self {
        let sampled = Sampled { target, n, context, temperature: 1.0 };
        Self { sampled, gradient: ReverseKlGradient::Path }
    }

    /// The same at the temperature `T`, from 1e-6 to 1e6: the log-density of the target is divided
    /// by it.
    #[must_use]
    pub fn with_temperature(self, temperature: f64) -> Self {
        Self { sampled: Sampled { temperature, ..self.sampled }, ..self }
    }

    /// The same with another gradient.
    #[must_use]
    pub fn with_gradient(self, gradient: ReverseKlGradient) -> Self {
        Self { gradient, ..self }
    }

    fn score(&self) -> Score {
        match self.gradient {
            ReverseKlGradient::Total => Score::Total,
            ReverseKlGradient::Path => Score::Path,
        }
    }
}

fn mean_difference(log_target: Tensor<1>, log_q: Tensor<1>) -> Tensor<1> {
    (log_q - log_target).mean()
}

impl<T, B, P, const D: usize, C> Objective<Flow<B, P, D, C>> for ReverseKl<'_, T, C>
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
        self.sampled.loss(model, self.score(), mean_difference)
    }

    fn replay(&self, model: &Flow<B, P, D, C>, replay: &mut Replay<()>) -> Option<Tensor<1>> {
        Some(self.sampled.replay(model, self.score(), mean_difference, replay))
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
        self.sampled.fault(model)
    }

    fn gradient_fault(&self, model: &Flow<B, P, D, C>) -> Option<NonFinitePlace> {
        self.sampled.gradient_fault(model)
    }
}
