//! Evaluation of a flow behind a surjection: bounds on the host, of a whole batch or row by row.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Admitted, BoundFlow};
use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::{CapacityError, FlowError};
use crate::flow::likelihood::{ImportanceWeightedBound, LogLikelihood, LogMeanExp, OneSampleBound};
use crate::flow::surjection::Surjection;
use crate::flow::{RowFault, RowLikelihoods, read};
use crate::prior::Prior;

/// Most samples of an importance-weighted bound. Even with the smallest flow they take days.
const MOST_SAMPLES: u64 = u32::MAX as u64;

impl<S, B, P> BoundFlow<S, B, P> {
    /// One-sample bound of every example on the host, without dropout and outside of any graph.
    ///
    /// # Errors
    /// If the batch does not fit the surjection or the flow, or if a bound is not finite; [`BoundFlow::evaluate_rows`]
    /// returns the others.
    pub fn evaluate<const D: usize>(&self, x: S::Data) -> Result<LogLikelihood<OneSampleBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_given(x, &())
    }

    /// As [`BoundFlow::evaluate`], given a condition: a row for each example, or one row for all of them.
    ///
    /// # Errors
    /// As [`BoundFlow::evaluate`], and if a layer cannot take the condition.
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
        self.evaluate_rows_given(x, context)?.whole()
    }

    /// [`BoundFlow::evaluate`] row by row: an example whose bound is not finite is marked as failed, and the others
    /// have their bounds.
    ///
    /// # Errors
    /// If the batch does not fit the surjection or the flow. A level outside the surjection's range is an error of the
    /// whole batch.
    pub fn evaluate_rows<const D: usize>(&self, x: S::Data) -> Result<RowLikelihoods<OneSampleBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_rows_given(x, &())
    }

    /// As [`BoundFlow::evaluate_rows`], given a condition: a row for each example, or one row for all of them.
    ///
    /// # Errors
    /// As [`BoundFlow::evaluate_rows`], and if a layer cannot take the condition.
    pub fn evaluate_rows_given<const D: usize, C: Context>(
        &self,
        x: S::Data,
        context: &C,
    ) -> Result<RowLikelihoods<OneSampleBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { dims, noise, context } = model.admit(&x, &context.plain())?;
        let nats = read(model.weight(x, noise, &context))?;
        Ok(RowLikelihoods::new(nats.into_iter().map(Ok).collect(), dims, OneSampleBound))
    }

    /// Importance-weighted bound of every example from `samples` samples of the noise, without dropout and outside any
    /// graph. The noise is sampled one at a time: memory does not grow with their number.
    ///
    /// # Errors
    /// As [`BoundFlow::evaluate`], for the weight of any sample, and unless `samples` is 1 to 2^32 − 1.
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

    /// As [`BoundFlow::evaluate_importance_weighted`], given a condition: a row for each example, or one row for all of
    /// them.
    ///
    /// # Errors
    /// As [`BoundFlow::evaluate_importance_weighted`], and if a layer cannot take the condition.
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
        self.evaluate_importance_weighted_rows_given(x, samples, context)?.whole()
    }

    /// [`BoundFlow::evaluate_importance_weighted`] row by row: an example with a weight that is not finite is marked as
    /// failed with the first such weight, and the others have their bounds.
    ///
    /// # Errors
    /// As [`BoundFlow::evaluate_rows`], and unless `samples` is 1 to 2^32 − 1.
    pub fn evaluate_importance_weighted_rows<const D: usize>(
        &self,
        x: S::Data,
        samples: usize,
    ) -> Result<RowLikelihoods<ImportanceWeightedBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_importance_weighted_rows_given(x, samples, &())
    }

    /// As [`BoundFlow::evaluate_importance_weighted_rows`], given a condition: a row for each example, or one row for
    /// all of them.
    ///
    /// # Errors
    /// As [`BoundFlow::evaluate_importance_weighted_rows`], and if a layer cannot take the condition.
    pub fn evaluate_importance_weighted_rows_given<const D: usize, C: Context>(
        &self,
        x: S::Data,
        samples: usize,
        context: &C,
    ) -> Result<RowLikelihoods<ImportanceWeightedBound>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        if samples == 0 {
            return Err(FlowError::NoSamples { what: "samples" });
        }
        let (most, found) = (MOST_SAMPLES, samples as u64);
        if found > most {
            return Err(CapacityError::TooMany { what: "samples", most, found }.into());
        }
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { dims, noise, context } = model.admit(&x, &context.plain())?;
        let mut means: Vec<Result<LogMeanExp, RowFault>> = Vec::new();
        // The noise that was checked, then fresh noise.
        let mut first = Some(noise);
        for _ in 0..samples {
            let noise = first.take().unwrap_or_else(|| model.surjection.noise(&x, model.flow.dtype()));
            let weights = read(model.weight(x.clone(), noise, &context))?;
            means.resize(weights.len(), Ok(LogMeanExp::new()));
            for (mean, value) in means.iter_mut().zip(weights) {
                match mean {
                    Ok(mean) if value.is_finite() => mean.push(value),
                    Ok(_) => *mean = Err(RowFault::Likelihood { value }),
                    Err(_) => {}
                }
            }
        }
        let nats = means.into_iter().map(|mean| mean.map(|mean| mean.value())).collect();
        Ok(RowLikelihoods::new(nats, dims, ImportanceWeightedBound { samples }))
    }

    /// [`BoundFlow::log_weight_given`] of a batch that was admitted.
    fn weight<const D: usize, C: Context>(&self, x: S::Data, noise: Tensor<D>, context: &C) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (y, log_weight) = self.surjection.lift(x, noise);
        self.flow.density(y, context) + log_weight
    }
}
