//! Sampling from a flow: alone or with log-densities, a whole batch or row by row.
//! ```text
//! z ~ prior at a temperature,  x = f⁻¹(z | context)
//! ln p(x | context) = ln p_prior(z | context) − ln|det ∂f⁻¹/∂z|                    [batch], nats
//! ```
//! The log-density is that of the model, with the prior at temperature 1, whatever the temperature of the samples. In
//! exact arithmetic it is the result of [`Flow::evaluate`]. It is computed from the latents, not from `x`. A sample
//! that rounds to the end of an interval, such as 1 before a [`Logit`](crate::Logit), no longer says how close to the
//! end it was, so `evaluate` has no density for it. Its latents still determine the density.

use burn::module::Module;
use burn::tensor::Tensor;

use super::Flow;
use super::door::Numbers;
use super::evaluation::{non_finite_counts, read};
use super::rows::{FailedRow, RowFault, SampledRows};
use crate::bijector::Bijector;
use crate::context::{Context, check_finite};
use crate::error::FlowError;
use crate::flow::likelihood::{Exact, LogLikelihood};
use crate::prior::Prior;
use crate::tensor::capacity::check_count;

/// Samples and their log-density. The formulas head this module.
#[derive(Debug, Clone)]
pub struct Samples<const D: usize> {
    /// `[n, ...]`.
    pub x: Tensor<D>,
    /// `ln p` of each under the model itself, at temperature 1.
    pub log_likelihood: LogLikelihood<Exact>,
}

/// A flow in evaluation mode, the condition of every sample, and latents.
type Drawn<F, C, const D: usize> = (F, C, Tensor<D>);

impl<B, P> Flow<B, P> {
    /// `n` samples, `[n, ...]`, at a temperature, by which the spread of the latents is multiplied. A model in training
    /// is sampled with its current weights, without dropout and outside any graph.
    ///
    /// # Errors
    /// If `n` is 0, if the temperature is negative or not finite, or if some latents have no inverse in this precision:
    /// [`Flow::sample_rows`] returns the others. [`FlowError::Capacity`], before anything is sampled, if the samples
    /// take more than 1 TiB, or if the allocator of the CPU has no memory for them. Layers need several times that
    /// memory, so a number that passes may still be too large.
    pub fn sample<const D: usize>(&self, n: usize, temperature: f64) -> Result<Tensor<D>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_given(n, temperature, &())
    }

    /// As [`Flow::sample`], given a condition: a row for each of the `n` samples, or one row for all of them.
    ///
    /// # Errors
    /// As [`Flow::sample`], and if a layer cannot take the condition.
    pub fn sample_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<Tensor<D>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let x = flow.bijector.inverse(z, &context);
        not_inverted(&x, &non_finite_counts(x.clone())?).map_or(Ok(x), Err)
    }

    /// As [`Flow::sample`], with the log-density of each sample under the model itself.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use flowkit::{Flow, Invert, StandardNormal, Tanh};
    ///
    /// // Samples in (−1, 1); at this temperature some round to the ends.
    /// let flow = Flow::new(Invert::new(Tanh::new()), StandardNormal::new(), [1, 2])?.without_data();
    /// let samples = flow.sample_with_log_prob::<2>(64, 5.0)?;
    /// assert!(samples.log_likelihood.nats().iter().all(|nats| nats.is_finite()));
    /// assert!(flow.evaluate(samples.x).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Flow::sample`], and if a log-density is not finite: for example if a temperature above 1 moves latents out
    /// of the support of a [`Uniform`](crate::Uniform) prior.
    pub fn sample_with_log_prob<const D: usize>(&self, n: usize, temperature: f64) -> Result<Samples<D>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_with_log_prob_given(n, temperature, &())
    }

    /// As [`Flow::sample_with_log_prob`], given a condition: a row for each of the `n` samples, or one row for all of
    /// them.
    ///
    /// # Errors
    /// As [`Flow::sample_with_log_prob`], and if a layer cannot take the condition.
    pub fn sample_with_log_prob_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<Samples<D>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let (x, nats) = flow.invert_with_density(z, &context)?;
        if let Some(error) = not_inverted(&x, &non_finite_counts(x.clone())?) {
            return Err(error);
        }
        if let Some(example) = nats.iter().position(|value| !value.is_finite()) {
            return Err(FlowError::NonFiniteLikelihood { example, value: nats[example] });
        }
        Ok(Samples { x, log_likelihood: LogLikelihood::new(nats, self.dims(), Exact) })
    }

    /// [`Flow::sample`] row by row: leaves out samples whose latents have no inverse.
    ///
    /// # Errors
    /// As [`Flow::sample`], but [`FlowError::NotInverted`] only if no sample is left.
    pub fn sample_rows<const D: usize>(&self, n: usize, temperature: f64) -> Result<SampledRows<Tensor<D>>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_rows_given(n, temperature, &())
    }

    /// As [`Flow::sample_rows`], given a condition: a row for each of the `n` samples, or one row for all of them.
    ///
    /// # Errors
    /// As [`Flow::sample_rows`], and if a layer cannot take the condition, or if the condition is not finite, in any
    /// row.
    pub fn sample_rows_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<SampledRows<Tensor<D>>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let x = flow.bijector.inverse(z, &context);
        let counts = non_finite_counts(x.clone())?;
        let (rows, failed) = self.sort(&counts, None);
        match not_inverted(&x, &counts) {
            Some(error) if rows.is_empty() => Err(error),
            _ => Ok(SampledRows { samples: Context::select(&x, &rows), rows, failed }),
        }
    }

    /// [`Flow::sample_with_log_prob`] row by row: leaves out samples whose latents have no inverse, or whose
    /// log-density is not finite.
    ///
    /// # Errors
    /// As [`Flow::sample_with_log_prob`], but failed rows are an error only if no sample is left.
    pub fn sample_rows_with_log_prob<const D: usize>(
        &self,
        n: usize,
        temperature: f64,
    ) -> Result<SampledRows<Samples<D>>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_rows_with_log_prob_given(n, temperature, &())
    }

    /// As [`Flow::sample_rows_with_log_prob`], given a condition: a row for each of the `n` samples, or one row for all
    /// of them.
    ///
    /// # Errors
    /// As [`Flow::sample_rows_with_log_prob`], and if a layer cannot take the condition, or if the condition is not
    /// finite, in any row.
    pub fn sample_rows_with_log_prob_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<SampledRows<Samples<D>>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let (x, nats) = flow.invert_with_density(z, &context)?;
        let counts = non_finite_counts(x.clone())?;
        let (rows, failed) = self.sort(&counts, Some(&nats));
        if rows.is_empty() {
            let likelihood = || FlowError::NonFiniteLikelihood { example: 0, value: nats[0] };
            return Err(not_inverted(&x, &counts).unwrap_or_else(likelihood));
        }
        let good = rows.iter().map(|&row| nats[row]).collect();
        let log_likelihood = LogLikelihood::new(good, self.dims(), Exact);
        Ok(SampledRows { samples: Samples { x: Context::select(&x, &rows), log_likelihood }, rows, failed })
    }

    /// Checks the arguments, and samples latents.
    fn draw<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<Drawn<Self, C, D>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        if n == 0 {
            return Err(FlowError::NoSamples { what: "n" });
        }
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(FlowError::Temperature { found: temperature });
        }
        let flow = self.valid();
        let numbers = Numbers { dtype: flow.dtype(), device: flow.device() };
        check_count("n", n, flow.dims(), numbers.dtype, &numbers.device)?;
        let plain = context.plain();
        let context = flow.fit_condition(self.batch_shape(n), &numbers, &plain)?;
        check_finite(&plain)?;
        let shape = flow.bijector.output_shape(self.batch_shape(n))?;
        let z = flow.prior.sample(shape, temperature, &context, &numbers.device, numbers.dtype);
        Ok((flow, context, z))
    }

    /// Samples from latents, and their log-densities on the host.
    fn invert_with_density<const D: usize, C: Context>(
        &self,
        z: Tensor<D>,
        context: &C,
    ) -> Result<(Tensor<D>, Vec<f64>), FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (x, log_det) = self.bijector.inverse_with_log_det(z.clone(), context);
        let nats = read(self.prior.log_prob(z, context) - log_det)?;
        Ok((x, nats))
    }

    /// The good rows, and what is wrong with the others.
    fn sort(&self, counts: &[usize], nats: Option<&[f64]>) -> (Vec<usize>, Vec<FailedRow>) {
        let total = self.dims();
        let (mut rows, mut failed) = (Vec::with_capacity(counts.len()), Vec::new());
        for (row, &count) in counts.iter().enumerate() {
            match nats.map(|nats| nats[row]) {
                _ if count > 0 => failed.push(FailedRow { row, fault: RowFault::NotInverted { count, total } }),
                Some(value) if !value.is_finite() => {
                    failed.push(FailedRow { row, fault: RowFault::Likelihood { value } });
                }
                _ => rows.push(row),
            }
        }
        (rows, failed)
    }
}

/// The error of a batch with elements that are not finite; `None` if all are finite.
pub(crate) fn not_inverted<const D: usize>(x: &Tensor<D>, counts: &[usize]) -> Option<FlowError> {
    let rows: Vec<usize> = (0..counts.len()).filter(|&row| counts[row] > 0).collect();
    let (count, total) = (counts.iter().sum(), x.dims().iter().product());
    (!rows.is_empty()).then_some(FlowError::NotInverted { count, total, rows })
}
