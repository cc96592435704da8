//! A flow behind a surjection: a model of data that no bijector takes, with a bound on its log-likelihood.
//! ```text
//! r(x, u) = ln p(y | context) + log_weight,  (y, log_weight) = lift(x, u)
//! one sample      ln p(x) ≥ E[r]
//! k samples       ln p(x) ≥ E[ln mean_i exp r(x, u_i)] ≥ E[r]
//! ```
//! # Reference
//! Ho et al. 2019 §3.1, Burda et al. 2016.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::{FlowError, ShapeError};
use crate::flow::{Flow, non_finite, read_likelihood};
use crate::layer::LayerWalk;
use crate::metric::{ImportanceWeightedBound, LogLikelihood, LogMeanExp, OneSampleBound};
use crate::prior::Prior;
use crate::surjection::Surjection;
use crate::unstarted::Unstarted;

/// A [`Flow`] whose data is lifted by a [`Surjection`] first.
///
/// Methods without a condition are for `B: Bijector<D>`; those that end in `_given` take one. The condition is the flow's; the surjection
/// has its own way to see the data.
#[derive(Module, Debug)]
pub struct BoundFlow<S, B, P> {
    /// Lifts data to what the flow takes.
    pub surjection: S,
    /// Density of the lifted data.
    pub flow: Flow<B, P>,
}

impl<S, B, P> BoundFlow<S, B, P> {
    /// A surjection and an unconditional flow for lifted examples of shape `shape[1..]`.
    pub fn new<const D: usize>(
        surjection: S,
        bijector: B,
        prior: P,
        shape: [usize; D],
    ) -> Result<Unstarted<Self>, ShapeError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        Self::conditional::<D, ()>(surjection, bijector, prior, shape)
    }

    /// As [`BoundFlow::new`], for a flow with a condition `C`.
    pub fn conditional<const D: usize, C: Context>(
        surjection: S,
        bijector: B,
        prior: P,
        shape: [usize; D],
    ) -> Result<Unstarted<Self>, ShapeError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        Ok(Flow::conditional(bijector, prior, shape)?.map(|flow| Self { surjection, flow }))
    }

    /// `r(x, noise)`: the one-sample bound of `ln p(x)` in nats, differentiable.
    ///
    /// # Shapes
    /// A batch of data and its noise to `[batch]`.
    ///
    /// # Panics
    /// If the lifted data does not have the flow's shape.
    pub fn log_weight<const D: usize>(&self, x: S::Data, noise: Tensor<D>) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.log_weight_given(x, noise, &())
    }

    /// As [`BoundFlow::log_weight`], given a condition.
    ///
    /// # Panics
    /// If the lifted data does not have the flow's shape.
    pub fn log_weight_given<const D: usize, C: Context>(&self, x: S::Data, noise: Tensor<D>, context: &C) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (y, log_weight) = self.surjection.lift(x, noise);
        self.flow.log_prob_given(y, context) + log_weight
    }

    /// Runs a batch through the layers of `surjection` and `flow` one at a time and shows each to the visitor of `walk`; the latents come
    /// back.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight`].
    pub fn visit_layers<const D: usize, C: Context>(
        &self,
        x: S::Data,
        noise: Tensor<D>,
        context: &C,
        walk: &mut LayerWalk<'_, D>,
    ) -> Tensor<D>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
    {
        let y = walk.within("surjection", |walk| self.surjection.visit_layers(x, noise, walk));
        walk.within("flow", |walk| self.flow.visit_layers(y, context, walk))
    }

    /// Training loss: minus the mean of [`BoundFlow::log_weight`] with fresh noise, in nats per example, `[1]`.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight`].
    pub fn loss<const D: usize>(&self, x: S::Data) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.loss_given(x, &())
    }

    /// As [`BoundFlow::loss`], given a condition.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight`].
    pub fn loss_given<const D: usize, C: Context>(&self, x: S::Data, context: &C) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let noise = self.surjection.noise(&x, self.flow.dtype());
        self.log_weight_given(x, noise, context).mean().neg()
    }

    /// One-sample bound of every example on the host, without dropout and checked.
    pub fn evaluate<const D: usize>(&self, x: S::Data) -> Result<LogLikelihood<OneSampleBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_given(x, &())
    }

    /// As [`BoundFlow::evaluate`], given a condition.
    pub fn evaluate_given<const D: usize, C: Context>(
        &self,
        x: S::Data,
        context: &C,
    ) -> Result<LogLikelihood<OneSampleBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let dims = self.check(&x, context)?;
        let model = self.valid();
        let noise = model.surjection.noise(&x, model.flow.dtype());
        let nats = read_likelihood(model.log_weight_given(x, noise, context))?;
        Ok(LogLikelihood::new(nats, dims, OneSampleBound))
    }

    /// Importance-weighted bound of every example from `samples` draws of the noise, without dropout. The draws are taken one after the
    /// other: memory does not grow with their number.
    pub fn evaluate_importance_weighted<const D: usize>(
        &self,
        x: S::Data,
        samples: usize,
    ) -> Result<LogLikelihood<ImportanceWeightedBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_importance_weighted_given(x, samples, &())
    }

    /// As [`BoundFlow::evaluate_importance_weighted`], given a condition.
    pub fn evaluate_importance_weighted_given<const D: usize, C: Context>(
        &self,
        x: S::Data,
        samples: usize,
        context: &C,
    ) -> Result<LogLikelihood<ImportanceWeightedBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        if samples == 0 {
            return Err(FlowError::NoSamples { what: "samples" });
        }
        let dims = self.check(&x, context)?;
        let model = self.valid();
        let mut means: Vec<LogMeanExp> = Vec::new();
        for _ in 0..samples {
            let noise = model.surjection.noise(&x, model.flow.dtype());
            let weights = read_likelihood(model.log_weight_given(x.clone(), noise, context))?;
            means.resize(weights.len(), LogMeanExp::new());
            means.iter_mut().zip(weights).for_each(|(mean, weight)| mean.push(weight));
        }
        let nats = means.iter().map(LogMeanExp::value).collect();
        Ok(LogLikelihood::new(nats, dims, ImportanceWeightedBound { samples }))
    }

    /// `n` samples at a temperature. See [`Flow::sample`].
    pub fn sample<const D: usize>(&self, n: usize, temperature: f64) -> Result<S::Data, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_given(n, temperature, &())
    }

    /// As [`BoundFlow::sample`], given a condition for each of the `n` samples.
    pub fn sample_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<S::Data, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        Ok(self.surjection.lower(self.flow.sample_given::<D, C>(n, temperature, context)?))
    }

    /// Lifts a batch, maps it to latents and back: the data that comes out, and the largest difference of the lifted numbers.
    ///
    /// The difference measures the inverse's precision. Dequantized data of `M` levels is on [0, 1], where one level is `1/M`.
    pub fn round_trip<const D: usize>(&self, x: S::Data) -> Result<(S::Data, f64), FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.round_trip_given(x, &())
    }

    /// As [`BoundFlow::round_trip`], given a condition.
    pub fn round_trip_given<const D: usize, C: Context>(
        &self,
        x: S::Data,
        context: &C,
    ) -> Result<(S::Data, f64), FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        self.check(&x, context)?;
        let model = self.valid();
        let noise = model.surjection.noise(&x, model.flow.dtype()).inner();
        let (y, _) = model.surjection.lift(x, noise);
        let y = y.inner();
        let (z, _) = model.flow.bijector.forward(y.clone(), context);
        let back = model.flow.bijector.inverse(z, context);
        if let Some((count, total, example)) = non_finite(back.clone())? {
            return Err(FlowError::NotInverted { count, total, example });
        }
        let error = (back.clone() - y).abs().max().try_into_data();
        let error = error.map_err(|error| FlowError::Device(error.to_string()))?.iter::<f64>().sum();
        Ok((model.surjection.lower(back), error))
    }

    pub(crate) fn check<const D: usize, C: Context>(&self, x: &S::Data, context: &C) -> Result<usize, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (lifted, dims) = self.surjection.check(x)?;
        self.flow.check_given(lifted, context)?;
        Ok(dims)
    }
}

impl<S, B, P> Unstarted<BoundFlow<S, B, P>> {
    /// Data-dependent start of surjection and flow, in one pass from a batch.
    ///
    /// # Errors
    /// If the batch has the wrong shape, or holds data that the surjection does not know.
    pub fn initialize<const D: usize>(self, x: S::Data) -> Result<BoundFlow<S, B, P>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.initialize_given(x, &())
    }

    /// As [`Unstarted::initialize`], given a condition.
    ///
    /// # Errors
    /// As [`Unstarted::initialize`].
    pub fn initialize_given<const D: usize, C: Context>(
        self,
        x: S::Data,
        context: &C,
    ) -> Result<BoundFlow<S, B, P>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        self.start(|BoundFlow { surjection, flow }| {
            let (lifted, _) = surjection.check(&x)?;
            flow.check_given(lifted, context)?;
            let noise = surjection.noise(&x, flow.dtype());
            let (surjection, y) = surjection.initialize(x, noise);
            let flow = Unstarted::new(flow).initialize_given(y, context)?;
            Ok(BoundFlow { surjection, flow })
        })
    }
}
