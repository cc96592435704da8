//! Reparametrised samples, through which gradients reach the parameters.
//! ```text
//! x = f⁻¹(z | context),  z = a function of fixed noise and the parameters of the prior
//! ln p(x | context) = ln p_prior(z | context) − ln|det ∂f⁻¹/∂z|
//! ```
//! `x` and its log-density depend, through the inverse, on the parameters of layers and prior and
//! on the condition. They serve the reverse Kullback-Leibler divergence and other expectations over
//! samples of the model.
//!
//! # Reference
//! Kingma & Welling 2014 §2.4; Rezende & Mohamed 2015.

use burn::tensor::Tensor;

use super::Flow;
use super::density::Density;
use super::given::Given;
use super::read::non_finite_counts;
use super::sampling::not_inverted;
use super::surjection::Continuous;
use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::FlowError;
use crate::prior::ReparametrisedPrior;

/// A density of continuous data, with a [`ReparametrisedPrior`], whose samples can be
/// differentiated.
pub trait Reparametrised: Density {
    /// `n` samples and the log-density of each in nats, `[n]`, both differentiable. Layers behave
    /// as in training: with dropout if the model is on a graph.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use flowkit::{ActNormConfig, Flow, Reparametrised, StandardNormal};
    ///
    /// let device = Device::flex().autodiff();
    /// let norm = ActNormConfig::new();
    /// let flow = Flow::build(&norm, StandardNormal::new(), [1, 2], &device)?.without_data();
    /// let (x, log_prob) = flow.rsample(16)?;
    /// // KL divergence from a normal distribution around 3, up to a constant.
    /// let energy = x.sub_scalar(3.0).square().sum_dim(1).squeeze_dim::<1>(1).mul_scalar(0.5);
    /// let gradients = (log_prob + energy).mean().backward();
    /// assert!(flow.bijector.bias.val().grad(&gradients).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Density::sample`].
    fn rsample(&self, n: usize) -> Result<(Self::Data, Tensor<1>), FlowError>;
}

impl<B, P, const D: usize, C> Flow<B, P, D, C>
where
    C: Context,
    B: Bijector<D, C>,
    P: ReparametrisedPrior<D, C>,
{
    fn differentiable_samples(
        &self,
        n: usize,
        context: &C,
    ) -> Result<(Tensor<D>, Tensor<1>), FlowError> {
        let (context, z) = self.draw_latents(n, 1.0, context)?;
        let (x, log_det) = self.bijector.inverse_with_log_det(z.clone(), &context);
        if let Some(error) = not_inverted(&x, &non_finite_counts(x.clone())?) {
            return Err(error);
        }
        Ok((x, self.prior.log_prob(z, &context) - log_det))
    }
}

impl<B, P, const D: usize> Reparametrised for Flow<B, P, D, (), Continuous>
where
    B: Bijector<D>,
    P: ReparametrisedPrior<D>,
{
    fn rsample(&self, n: usize) -> Result<(Tensor<D>, Tensor<1>), FlowError> {
        self.differentiable_samples(n, &())
    }
}

impl<B, P, const D: usize, C> Reparametrised for Given<'_, Flow<B, P, D, C, Continuous>, C>
where
    C: Context,
    B: Bijector<D, C>,
    P: ReparametrisedPrior<D, C>,
{
    fn rsample(&self, n: usize) -> Result<(Tensor<D>, Tensor<1>), FlowError> {
        let (flow, context) = self.asked();
        flow.differentiable_samples(n, context)
    }
}
