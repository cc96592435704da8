//! Sampling from a flow: alone or with log-densities, a whole batch or row by row.
//! ```text
//! z ~ prior at a temperature,  x = f⁻¹(z | context)
//! ln p(x | context) = ln p_prior(z | context) − ln|det ∂f⁻¹/∂z|                    [batch], nats
//! ```
//! The log-density is that of the model, with the prior at temperature 1, whatever the temperature
//! of the samples. In exact arithmetic it equals the result of
//! [`Density::evaluate`](crate::Density::evaluate). It is computed from the latents, not from `x`.
//! A sample that rounds to the end of an interval, such as 1 for a [`Logit`](crate::Logit), has
//! lost its distance from the end, so `evaluate` has no density for it. Its latents still determine
//! the density.

use burn::module::Module;
use burn::tensor::Tensor;

use super::Flow;
use super::admission::Placement;
use super::read::{non_finite_counts, read};
use super::rows::{FailedRow, RowFault, SampledRows};
use crate::bijector::Bijector;
use crate::context::{Context, check_finite};
use crate::error::FlowError;
use crate::flow::likelihood::{Exact, LogLikelihood};
use crate::flow::surjection::Surjection;
use crate::prior::Prior;
use crate::tensor::capacity::check_count;

/// Samples and their log-density. The formulas head this module.
#[derive(Debug, Clone)]
pub struct Samples<T> {
    /// The samples, `[n, ...]`.
    pub x: T,
    /// `ln p` of each sample under the model itself, at temperature 1, in nats.
    pub log_likelihood: LogLikelihood<Exact>,
}

/// A flow in evaluation mode, the condition of every sample, and latents.
type Drawn<F, C, const D: usize> = (F, C, Tensor<D>);

impl<T> Samples<T> {
    /// Maps the samples and keeps their log-density.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Samples<U> {
        Samples { x: change(self.x), log_likelihood: self.log_likelihood }
    }
}

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// Samples before they are lowered to data.
    pub(crate) fn sampled(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<Tensor<D>, FlowError> {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let x = flow.bijector.inverse(z, &context);
        not_inverted(&x, &non_finite_counts(x.clone())?).map_or(Ok(x), Err)
    }

    /// [`Flow::sampled`] with the log-density of each sample.
    pub(crate) fn sampled_with_density(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<Samples<Tensor<D>>, FlowError> {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let (x, nats) = flow.invert_with_density(z, &context)?;
        if let Some(error) = not_inverted(&x, &non_finite_counts(x.clone())?) {
            return Err(error);
        }
        if let Some(example) = nats.iter().position(|value| !value.is_finite()) {
            return Err(FlowError::NonFiniteLikelihood { example, value: nats[example] });
        }
        Ok(Samples { x, log_likelihood: self.exact(nats) })
    }

    /// [`Flow::sampled`] for the latents that have an inverse.
    pub(crate) fn sampled_rows(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<SampledRows<Tensor<D>>, FlowError> {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let x = flow.bijector.inverse(z, &context);
        let counts = non_finite_counts(x.clone())?;
        let (rows, failed) = self.sort(&counts, None);
        match not_inverted(&x, &counts) {
            Some(error) if rows.is_empty() => Err(error),
            _ => Ok(SampledRows { samples: Context::select(&x, &rows), rows, failed }),
        }
    }

    /// [`Flow::sampled_with_density`] for the latents that have an inverse and a finite
    /// log-density.
    pub(crate) fn sampled_rows_with_density(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<SampledRows<Samples<Tensor<D>>>, FlowError> {
        let (flow, context, z) = self.draw(n, temperature, context)?;
        let (x, nats) = flow.invert_with_density(z, &context)?;
        let counts = non_finite_counts(x.clone())?;
        let (rows, failed) = self.sort(&counts, Some(&nats));
        if rows.is_empty() {
            let likelihood = || FlowError::NonFiniteLikelihood { example: 0, value: nats[0] };
            return Err(not_inverted(&x, &counts).unwrap_or_else(likelihood));
        }
        let log_likelihood = self.exact(rows.iter().map(|&row| nats[row]).collect());
        Ok(SampledRows {
            samples: Samples { x: Context::select(&x, &rows), log_likelihood },
            rows,
            failed,
        })
    }

    fn exact(&self, nats: Vec<f64>) -> LogLikelihood<Exact> {
        LogLikelihood::new(nats, self.surjection.dims(self.shape), Exact)
    }

    /// Checks the arguments and samples latents, outside any graph.
    fn draw(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<Drawn<Self, C, D>, FlowError> {
        let flow = self.valid();
        let (context, z) = flow.draw_latents(n, temperature, &context.plain())?;
        Ok((flow, context, z))
    }

    /// Checks the arguments and samples latents. Returns the condition with one row for each
    /// sample.
    pub(crate) fn draw_latents(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<(C, Tensor<D>), FlowError> {
        if n == 0 {
            return Err(FlowError::NoSamples { what: "n" });
        }
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(FlowError::Temperature { found: temperature });
        }
        let placement = Placement { dtype: self.dtype(), device: self.device() };
        let elements = self.shape.iter().product();
        check_count("n", n, elements, placement.dtype, &placement.device)?;
        let fitting = self.fit_context(self.batch_shape(n), &placement, context)?;
        check_finite(context)?;
        let shape = self.bijector.output_shape(self.batch_shape(n))?;
        let z = self.prior.sample(shape, temperature, &fitting, &placement.device, placement.dtype);
        Ok((fitting, z))
    }

    /// Samples from latents, and their log-densities on the host.
    fn invert_with_density(
        &self,
        z: Tensor<D>,
        context: &C,
    ) -> Result<(Tensor<D>, Vec<f64>), FlowError> {
        let (x, log_det) = self.bijector.inverse_with_log_det(z.clone(), context);
        let nats = read(self.prior.log_prob(z, context) - log_det)?;
        Ok((x, nats))
    }

    /// The good rows, and the faults of the others.
    fn sort(&self, counts: &[usize], nats: Option<&[f64]>) -> (Vec<usize>, Vec<FailedRow>) {
        let total = self.shape.iter().product();
        let (mut rows, mut failed) = (Vec::with_capacity(counts.len()), Vec::new());
        for (row, &count) in counts.iter().enumerate() {
            match nats.map(|nats| nats[row]) {
                _ if count > 0 => {
                    failed.push(FailedRow { row, fault: RowFault::NotInverted { count, total } })
                }
                Some(value) if !value.is_finite() => {
                    failed.push(FailedRow { row, fault: RowFault::Likelihood { value } });
                }
                _ => rows.push(row),
            }
        }
        (rows, failed)
    }
}

/// The error for a batch with elements that are not finite, or `None` if all are finite.
pub(crate) fn not_inverted<const D: usize>(x: &Tensor<D>, counts: &[usize]) -> Option<FlowError> {
    let rows: Vec<usize> = (0..counts.len()).filter(|&row| counts[row] > 0).collect();
    let (count, total) = (counts.iter().sum(), x.dims().iter().product());
    (!rows.is_empty()).then_some(FlowError::NotInverted { count, total, rows })
}
