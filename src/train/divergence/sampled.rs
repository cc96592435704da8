//! What the objectives share: the target, its temperature, the number of samples, the condition.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::context::{Context, check_finite};
use crate::error::{ConfigError, FlowError};
use crate::flow::{Flow, Placement};
use crate::importance::{LogWeights, Target, checked_log_density};
use crate::prior::Prior;
use crate::tensor::graph::constant;
use crate::train::{NegativeLogLikelihood, NonFinitePlace, Objective};

/// Settings of an objective that samples the flow.
#[derive(Debug)]
pub(super) struct Sampled<'a, T, C> {
    pub target: &'a T,
    /// Number of samples of an update.
    pub n: usize,
    pub context: C,
    pub temperature: f64,
}

impl<T, C: Clone> Clone for Sampled<'_, T, C> {
    fn clone(&self) -> Self {
        Self { context: self.context.clone(), ..*self }
    }
}

impl<T, C> Sampled<'_, T, C> {
    /// `ln p̃(x)/T`, or NaN for each example if the target does not fit them; then
    /// [`Sampled::check`] returns the error.
    pub fn log_target<const D: usize>(&self, x: Tensor<D>) -> Tensor<1>
    where
        T: Target<D>,
    {
        let (n, device, dtype) = (x.dims()[0], x.device(), x.dtype());
        let missing = |_| Tensor::full([n], f32::NAN, (&device, dtype));
        let nats = checked_log_density(self.target, x).unwrap_or_else(missing);
        // A product, not a quotient: the gradient of burn's `div_scalar` rounds the divisor to f32.
        if self.temperature == 1.0 { nats } else { nats.mul_scalar(1.0 / self.temperature) }
    }

    /// Checks the settings and the condition, without copying anything from the device.
    pub fn check_unread<B, P, const D: usize>(
        &self,
        model: &Flow<B, P, D, C>,
    ) -> Result<(), FlowError>
    where
        C: Context,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        if self.n == 0 {
            return Err(FlowError::NoSamples { what: "n" });
        }
        let legal = self.temperature >= 1e-6 && self.temperature <= 1e6;
        let range = "[1e-6, 1e6]";
        ConfigError::within("Objective", "temperature", range, self.temperature, legal)?;
        let placement = Placement { dtype: model.dtype(), device: model.device() };
        model.fit_context(model.batch_shape(self.n), &placement, &self.context).map(drop)
    }

    /// [`Sampled::check_unread`], and whether the target fits a sample of the model.
    pub fn check<B, P, const D: usize>(&self, model: &Flow<B, P, D, C>) -> Result<(), FlowError>
    where
        C: Context,
        T: Target<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        self.check_unread(model)?;
        check_finite(&self.context)?;
        // An example of zeros has the shape, type and device of a sample, whether or not the model
        // can be sampled.
        let placement = (&model.device(), model.dtype());
        let x = Tensor::zeros(model.batch_shape(1), placement);
        checked_log_density(self.target, x).map(drop)
    }

    /// Samples of the model as constants of its graphs, with their log-weights, `power·ln w`.
    /// `None` if the model cannot be sampled or there are no such weights.
    pub fn weighted<B, P, const D: usize>(
        &self,
        model: &Flow<B, P, D, C>,
        power: f64,
    ) -> Option<(NegativeLogLikelihood<Tensor<D>, C>, LogWeights)>
    where
        C: Context,
        T: Target<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let samples = model.sampled_with_density(self.n, 1.0, &self.context).ok()?;
        let x = samples.x.inner();
        let target = self.log_target(x.clone()).try_into_data().ok()?;
        let pairs = target.iter::<f64>().zip(samples.log_likelihood.nats().iter().copied());
        let nats = pairs.map(|(target, own)| power * (target - own)).collect();
        let weights = LogWeights::new(nats).ok()?;
        let x = match model.devices().into_iter().find(|device| device.is_autodiff()) {
            Some(device) => constant(x, &device),
            None => x,
        };
        let loss = NegativeLogLikelihood::given(x, self.context.clone());
        Some((loss.weighted(weights.relative()), weights))
    }
}

impl<T, C: Context> Sampled<'_, T, C> {
    /// The first place where values are not finite, for a loss of [`Sampled::weighted`].
    pub fn weighted_fault<B, P, const D: usize>(
        &self,
        model: &Flow<B, P, D, C>,
    ) -> Option<NonFinitePlace>
    where
        T: Target<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        match self.weighted(model, 1.0) {
            Some((likelihood, _)) => likelihood.fault(model),
            None => self.fault(model),
        }
    }
}

/// A loss of NaN on the device of a model: an update then fails, and names the place.
pub(super) fn nan<B, P, const D: usize, C>(model: &Flow<B, P, D, C>) -> Tensor<1>
where
    B: Module,
    P: Module,
{
    Tensor::full([1], f32::NAN, (&model.device().autodiff(), model.dtype())).require_grad()
}
