//! Evaluation of a flow: log-densities or bounds on the host, for a whole batch or row by row.

use burn::module::Module;
use burn::tensor::Tensor;

use super::read::{non_finite_counts, read};
use super::rows::{RowFault, RowLikelihoods};
use super::{Admitted, Flow, not_inverted};
use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::{CapacityError, FlowError};
use crate::flow::likelihood::{ImportanceWeightedBound, LogLikelihood, LogMeanExp};
use crate::flow::surjection::Surjection;
use crate::prior::Prior;

/// Largest number of samples of an importance-weighted bound. Even with the smallest flow they take
/// days.
const MOST_SAMPLES: u64 = u32::MAX as u64;

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// `ln p(y | context)` of lifted data that passed the checks.
    fn density(&self, y: Tensor<D>, context: &C) -> Tensor<1> {
        let (z, log_det) = self.bijector.forward(y, context);
        self.prior.log_prob(z, context) + log_det
    }

    /// `r(x, noise)` of a batch that passed the checks.
    fn admitted_weight(&self, x: S::Data, noise: S::Noise, context: &C) -> Tensor<1> {
        let (y, log_weight) = self.surjection.lift(x, noise);
        self.density(y, context) + log_weight
    }

    /// `r(x, noise)`, differentiable.
    pub(crate) fn weight(
        &self,
        x: S::Data,
        noise: S::Noise,
        context: &C,
    ) -> Result<Tensor<1>, FlowError> {
        self.expect_noise(&noise)?;
        let Admitted { context, .. } = self.fit(&x, context)?;
        Ok(self.admitted_weight(x, noise, &context))
    }

    /// `r(x, u)` with fresh noise, differentiable.
    pub(crate) fn fresh_weight(&self, x: S::Data, context: &C) -> Result<Tensor<1>, FlowError> {
        let admitted = self.fit(&x, context)?;
        Ok(self.admitted_fresh_weight(x, &admitted.context))
    }

    /// [`Flow::fresh_weight`] without a device-to-host copy: NaN for an example whose values are
    /// outside the range of the surjection.
    pub(crate) fn unread_weight(&self, x: S::Data, context: &C) -> Result<Tensor<1>, FlowError> {
        let admitted = self.fit_unread(&x, context)?;
        Ok(self.admitted_fresh_weight(x, &admitted.context))
    }

    fn admitted_fresh_weight(&self, x: S::Data, context: &C) -> Tensor<1> {
        let noise = self.surjection.noise(&x, self.dtype());
        self.admitted_weight(x, noise, context)
    }

    pub(crate) fn evaluated(
        &self,
        x: S::Data,
        context: &C,
    ) -> Result<LogLikelihood<S::Provenance>, FlowError> {
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { context, .. } = model.admit(&x, &context.plain())?;
        model.check_input(&x)?;
        let noise = model.surjection.noise(&x, model.dtype());
        let nats = read(model.admitted_weight(x, noise, &context))?;
        self.rows(nats.into_iter().map(Ok).collect()).whole()
    }

    pub(crate) fn evaluated_rows(
        &self,
        x: S::Data,
        context: &C,
    ) -> Result<RowLikelihoods<S::Provenance>, FlowError> {
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { batch, context, .. } = model.admit(&x, &context.plain())?;
        let (counts, total) = (model.surjection.non_finite(&x)?, self.surjection.dims(self.shape));
        let counts = counts.unwrap_or_else(|| vec![0; batch]);
        let good: Vec<usize> = (0..batch).filter(|&row| counts[row] == 0).collect();
        let mut rows: Vec<Result<f64, RowFault>> =
            counts.iter().map(|&count| Err(RowFault::Input { count, total })).collect();
        if !good.is_empty() {
            let noise = model.surjection.noise(&x, model.dtype());
            let (y, log_weight) = model.surjection.lift(x, noise);
            // Layers get finite values only.
            let select = good.len() < batch;
            let (y, log_weight, context) = match select {
                true => (
                    Context::select(&y, &good),
                    Context::select(&log_weight, &good),
                    context.select(&good),
                ),
                false => (y, log_weight, context),
            };
            let values = read(model.density(y, &context) + log_weight)?;
            good.into_iter().zip(values).for_each(|(row, value)| rows[row] = Ok(value));
        }
        Ok(self.rows(rows))
    }

    fn rows(&self, rows: Vec<Result<f64, RowFault>>) -> RowLikelihoods<S::Provenance> {
        RowLikelihoods::new(rows, self.surjection.dims(self.shape), S::PROVENANCE)
    }

    pub(crate) fn weighted_rows(
        &self,
        x: S::Data,
        samples: usize,
        context: &C,
    ) -> Result<RowLikelihoods<ImportanceWeightedBound>, FlowError> {
        if samples == 0 {
            return Err(FlowError::NoSamples { what: "samples" });
        }
        let (most, found) = (MOST_SAMPLES, samples as u64);
        if found > most {
            return Err(CapacityError::TooMany { what: "samples", most, found }.into());
        }
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { batch, context, .. } = model.admit(&x, &context.plain())?;
        let mut means: Vec<Result<LogMeanExp, RowFault>> = vec![Ok(LogMeanExp::new()); batch];
        for _ in 0..samples {
            let noise = model.surjection.noise(&x, model.dtype());
            let weights = read(model.admitted_weight(x.clone(), noise, &context))?;
            for (mean, value) in means.iter_mut().zip(weights) {
                match mean {
                    Ok(mean) if value.is_finite() => mean.push(value),
                    Ok(_) => *mean = Err(RowFault::Likelihood { value }),
                    Err(_) => {}
                }
            }
        }
        let nats = means.into_iter().map(|mean| mean.map(|mean| mean.value())).collect();
        Ok(RowLikelihoods::new(
            nats,
            self.surjection.dims(self.shape),
            ImportanceWeightedBound { samples },
        ))
    }

    /// Maps data to latents and back.
    pub(crate) fn returned(&self, x: S::Data, context: &C) -> Result<(S::Data, f64), FlowError> {
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { context, .. } = model.admit(&x, &context.plain())?;
        model.check_input(&x)?;
        let noise = model.surjection.noise(&x, model.dtype());
        let (y, _) = model.surjection.lift(x, noise);
        let (z, _) = model.bijector.forward(y.clone(), &context);
        let back = model.bijector.inverse(z, &context);
        if let Some(error) = not_inverted(&back, &non_finite_counts(back.clone())?) {
            return Err(error);
        }
        let error = (back.clone() - y).abs().max().try_into_data();
        let error =
            error.map_err(|error| FlowError::Device(error.to_string()))?.iter::<f64>().sum();
        Ok((model.surjection.lower(back), error))
    }

    /// Checks that every element of the data is finite.
    pub(crate) fn check_input(&self, x: &S::Data) -> Result<(), FlowError> {
        let Some(counts) = self.surjection.non_finite(x)? else { return Ok(()) };
        match counts.iter().position(|&count| count > 0) {
            None => Ok(()),
            Some(example) => {
                let total = counts.len() * self.surjection.dims(self.shape);
                Err(FlowError::NonFiniteInput { count: counts.iter().sum(), total, example })
            }
        }
    }
}
