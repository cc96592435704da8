//! Density: evaluation and sampling, defined once for flows without a condition and for flows
//! together with their condition.
//! ```text
//! log_prob    ln p(x | context), or r(x, u) with fresh noise u    [batch], nats, differentiable
//! loss        −mean log_prob                                      [1], nats
//! evaluate    log_prob on the host, with its provenance, without dropout and outside any graph
//! sample      x = lower(f⁻¹(z | context)),  z ~ prior at a temperature
//! ```

use burn::tensor::Tensor;

use super::admission::or_panic;
use super::diagnose::{Diagnosis, DiagnosisConfig};
use super::likelihood::{ImportanceWeightedBound, IsBound, IsExact, LogLikelihood, Provenance};
use super::rows::{RowLikelihoods, SampledRows};
use super::sampling::Samples;
use crate::context::Context;
use crate::error::FlowError;

/// A density that can be evaluated and sampled.
///
/// A [`Flow`](crate::Flow) without a condition implements it, and
/// [`Flow::given`](crate::Flow::given) makes one from a flow with a condition. A method that
/// returns values on the host does not affect the caller's graphs: it runs without dropout and
/// outside any graph.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a density",
    note = "a flow with a condition becomes a density by `flow.given(&condition)`"
)]
pub trait Density {
    /// A batch.
    type Data: Clone + Send + 'static;

    /// Noise that lifts the data, or `()` if the data is used as it is.
    type Noise: Context;

    /// How log-likelihoods are found.
    type Provenance: Provenance;

    /// How log-likelihoods are found.
    fn provenance(&self) -> Self::Provenance;

    /// Number of elements of an example of the data. bits/dim are normalised by it.
    fn dims(&self) -> usize;

    /// The same batch outside any graph.
    fn plain(&self, x: Self::Data) -> Self::Data;

    /// Fresh noise for a batch, from the generator of its device.
    fn noise(&self, x: &Self::Data) -> Self::Noise;

    /// Checks that a batch fits the model and its condition.
    ///
    /// # Errors
    /// If shape, type or device do not fit, if data is outside the range of the surjection, or if a
    /// layer does not accept the condition.
    fn check(&self, x: &Self::Data) -> Result<(), FlowError>;

    /// `ln p(x)` in nats, or a bound on it with fresh noise; differentiable.
    ///
    /// # Shapes
    /// A batch to `[batch]`.
    ///
    /// # Errors
    /// Those of [`Density::check`].
    fn try_log_prob(&self, x: Self::Data) -> Result<Tensor<1>, FlowError>;

    /// [`Density::try_log_prob`] with the given noise: `r(x, noise)`.
    ///
    /// # Errors
    /// Those of [`Density::check`], and if the noise does not have the model's type and device.
    fn try_log_weight(&self, x: Self::Data, noise: Self::Noise) -> Result<Tensor<1>, FlowError>;

    /// [`Density::try_log_prob`] for batches that fit.
    ///
    /// # Panics
    /// If it returns an error.
    fn log_prob(&self, x: Self::Data) -> Tensor<1> {
        or_panic(self.try_log_prob(x))
    }

    /// [`Density::try_log_weight`] for batches that fit.
    ///
    /// # Panics
    /// If it returns an error.
    fn log_weight(&self, x: Self::Data, noise: Self::Noise) -> Tensor<1> {
        or_panic(self.try_log_weight(x, noise))
    }

    /// Training loss: minus the mean of [`Density::log_prob`], in nats per example, `[1]`.
    ///
    /// # Panics
    /// As [`Density::log_prob`].
    fn loss(&self, x: Self::Data) -> Tensor<1> {
        self.log_prob(x).mean().neg()
    }

    /// `ln p` of every example in nats, or a bound on it with fresh noise, on the host.
    ///
    /// # Errors
    /// If the batch does not fit, if it or the condition is not finite, or if a likelihood is not
    /// finite. Errors name the example; [`Density::evaluate_rows`] returns the likelihoods of the
    /// others.
    fn evaluate(&self, x: Self::Data) -> Result<LogLikelihood<Self::Provenance>, FlowError>;

    /// [`Density::evaluate`] row by row. An example that is not finite, or whose likelihood is not
    /// finite, is marked as failed; the others have their likelihoods.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use flowkit::{Density, Flow, LogitConfig, RowFault, StandardNormal};
    ///
    /// let (device, logit) = (Device::flex(), LogitConfig::new().with_margin(0.0));
    /// let flow = Flow::build(&logit, StandardNormal::new(), [1, 1], &device)?.without_data();
    /// let x = Tensor::<2>::from_data([[0.5], [1.0], [f32::NAN]], &device);
    /// assert!(flow.evaluate(x.clone()).is_err());
    /// let rows = flow.evaluate_rows(x)?;
    /// // ln N(0; 0, 1) − ln ¼
    /// assert!((rows.rows()[0].unwrap() - 0.467356).abs() < 1e-5);
    /// assert_eq!((rows.good(), rows.failed()[1].row), (vec![0], 2));
    /// assert_eq!(rows.failed()[1].fault, RowFault::Input { count: 1, total: 1 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the batch does not fit, or if the condition is not finite, in any row. A level outside
    /// the surjection's range is an error of the whole batch.
    fn evaluate_rows(&self, x: Self::Data) -> Result<RowLikelihoods<Self::Provenance>, FlowError>;

    /// Importance-weighted bound of every example from `samples` samples of the noise. The noise is
    /// sampled one at a time, so memory does not grow with their number.
    ///
    /// # Errors
    /// As [`Density::evaluate`], also if the weight of any sample is not finite, and unless
    /// `samples` is 1 to 2^32 − 1.
    fn evaluate_importance_weighted(
        &self,
        x: Self::Data,
        samples: usize,
    ) -> Result<LogLikelihood<ImportanceWeightedBound>, FlowError>
    where
        Self::Provenance: IsBound,
    {
        self.evaluate_importance_weighted_rows(x, samples)?.whole()
    }

    /// [`Density::evaluate_importance_weighted`] row by row. An example with a weight that is not
    /// finite is marked as failed with the first such weight; the others have their bounds.
    ///
    /// # Errors
    /// As [`Density::evaluate_rows`], and unless `samples` is 1 to 2^32 − 1.
    fn evaluate_importance_weighted_rows(
        &self,
        x: Self::Data,
        samples: usize,
    ) -> Result<RowLikelihoods<ImportanceWeightedBound>, FlowError>
    where
        Self::Provenance: IsBound;

    /// `n` samples. A model in training uses its current weights.
    ///
    /// # Errors
    /// As [`Density::sample_at`].
    fn sample(&self, n: usize) -> Result<Self::Data, FlowError> {
        self.sample_at(n, 1.0)
    }

    /// `n` samples at a temperature, which multiplies the deviation of the latents from their mean.
    ///
    /// # Errors
    /// If `n` is 0, if the temperature is negative or not finite, if the condition does not fit or
    /// is not finite, or if some latents have no inverse in this precision;
    /// [`Density::sample_rows_at`] returns the other samples. [`FlowError::Capacity`], before
    /// anything is sampled, if the samples take more than 1 TiB, or if the allocator of the CPU has
    /// no memory for them. Layers need several times that memory, so a number that passes this
    /// check may still be too large.
    fn sample_at(&self, n: usize, temperature: f64) -> Result<Self::Data, FlowError>;

    /// [`Density::sample`] row by row.
    ///
    /// # Errors
    /// As [`Density::sample_rows_at`].
    fn sample_rows(&self, n: usize) -> Result<SampledRows<Self::Data>, FlowError> {
        self.sample_rows_at(n, 1.0)
    }

    /// [`Density::sample_at`] row by row: omits samples whose latents have no inverse, and lists
    /// them.
    ///
    /// # Errors
    /// As [`Density::sample_at`], but [`FlowError::NotInverted`] only if no sample is left.
    fn sample_rows_at(
        &self,
        n: usize,
        temperature: f64,
    ) -> Result<SampledRows<Self::Data>, FlowError>;

    /// [`Density::sample`] with the log-density of each sample.
    ///
    /// # Errors
    /// As [`Density::sample_with_log_prob_at`].
    fn sample_with_log_prob(&self, n: usize) -> Result<Samples<Self::Data>, FlowError>
    where
        Self::Provenance: IsExact,
    {
        self.sample_with_log_prob_at(n, 1.0)
    }

    /// [`Density::sample_at`] with the log-density of each sample under the model itself, whatever
    /// the temperature.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use flowkit::{Density, Flow, Invert, StandardNormal, Tanh};
    ///
    /// // Samples in (−1, 1); at this temperature some round to the ends.
    /// let flow =
    ///     Flow::new(Invert::new(Tanh::new()), StandardNormal::new(), [1, 2])?.without_data();
    /// let samples = flow.sample_with_log_prob_at(64, 5.0)?;
    /// assert!(samples.log_likelihood.nats().iter().all(|nats| nats.is_finite()));
    /// assert!(flow.evaluate(samples.x).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Density::sample_at`], and if a log-density is not finite: for example if a temperature
    /// above 1 moves latents out of the support of a [`Uniform`](crate::Uniform) prior.
    fn sample_with_log_prob_at(
        &self,
        n: usize,
        temperature: f64,
    ) -> Result<Samples<Self::Data>, FlowError>
    where
        Self::Provenance: IsExact;

    /// [`Density::sample_with_log_prob`] row by row.
    ///
    /// # Errors
    /// As [`Density::sample_rows_with_log_prob_at`].
    fn sample_rows_with_log_prob(
        &self,
        n: usize,
    ) -> Result<SampledRows<Samples<Self::Data>>, FlowError>
    where
        Self::Provenance: IsExact,
    {
        self.sample_rows_with_log_prob_at(n, 1.0)
    }

    /// [`Density::sample_with_log_prob_at`] row by row: omits samples whose latents have no
    /// inverse, or whose log-density is not finite, and lists them.
    ///
    /// # Errors
    /// As [`Density::sample_with_log_prob_at`], but failed rows are an error only if no sample is
    /// left.
    fn sample_rows_with_log_prob_at(
        &self,
        n: usize,
        temperature: f64,
    ) -> Result<SampledRows<Samples<Self::Data>>, FlowError>
    where
        Self::Provenance: IsExact;

    /// Maps a batch to latents and back. Returns the resulting data, and the largest difference of
    /// the lifted elements.
    ///
    /// The difference measures the precision of the inverse. Dequantized data of `M` levels lies in
    /// [0, 1], where one level is `1/M`.
    ///
    /// # Errors
    /// If the batch does not fit, if it or the condition is not finite, or if latents could not be
    /// inverted.
    fn round_trip(&self, x: Self::Data) -> Result<(Self::Data, f64), FlowError>;

    /// Measures the effect of each layer on a batch: see [`mod@crate::flow::diagnose`].
    ///
    /// # Errors
    /// As [`Density::diagnose_with`].
    fn diagnose(&self, x: Self::Data) -> Result<Diagnosis, FlowError> {
        self.diagnose_with(&DiagnosisConfig::new(), x)
    }

    /// Measures the effect of each layer of surjection and bijector on a batch, with fresh noise.
    /// The log-determinants of the layers within a surjection are terms of the bound: they measure
    /// how far these layers widen the noise.
    ///
    /// # Errors
    /// [`FlowError::Config`] if [`DiagnosisConfig::validate`] is an error. If the batch does not
    /// fit, if it or the condition is not finite, or if the device fails.
    fn diagnose_with(
        &self,
        config: &DiagnosisConfig,
        x: Self::Data,
    ) -> Result<Diagnosis, FlowError>;
}
