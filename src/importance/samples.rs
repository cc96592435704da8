//! ImportanceSamples: samples of a model, weighted by a target.
//! ```text
//! x_i ~ q,  ln w_i = ln p̃(x_i) − ln q(x_i)                                      [n], nats
//! ```
//! # Numerics
//! `ln q` is that of the latents of the sample, see [`crate::flow::Samples`]. Both terms are in the
//! model's type; their difference is taken in float64. In float32 a term of 1000 nats has an error
//! of 6e-5 nats, which `ln Z` inherits.

use burn::tensor::Tensor;

use super::error::ImportanceError;
use super::log_weights::LogWeights;
use super::target::{Target, checked_log_density};
use crate::error::FlowError;
use crate::flow::Density;
use crate::flow::likelihood::IsExact;

/// Samples with log-weights. The formulas head this module.
#[derive(Debug, Clone)]
pub struct ImportanceSamples<const D: usize> {
    /// The samples, `[n, ...]`.
    pub x: Tensor<D>,
    /// The log-weight of each sample.
    pub log_weights: LogWeights,
}

impl<const D: usize> ImportanceSamples<D> {
    /// Samples of one pass through the model: memory does not grow with the number of samples,
    /// apart from the samples themselves.
    pub const BLOCK: usize = 4096;

    /// `n` samples of a flow, outside any graph, with their weights. The condition of a proposal
    /// has one row: the samples of a pass share it.
    ///
    /// # Errors
    /// [`ImportanceError::Flow`] as [`Density::sample_with_log_prob`], and if the target does not
    /// fit the samples ([`FlowError::TargetShape`]); those of [`LogWeights::new`].
    pub fn draw<Q>(proposal: &Q, target: &impl Target<D>, n: usize) -> Result<Self, ImportanceError>
    where
        Q: Density<Data = Tensor<D>, Provenance: IsExact>,
    {
        if n == 0 {
            return Err(FlowError::NoSamples { what: "n" }.into());
        }
        let (mut blocks, mut log_weights) = (Vec::new(), Vec::new());
        while log_weights.len() < n {
            let samples = proposal.sample_with_log_prob(Self::BLOCK.min(n - log_weights.len()))?;
            let x = samples.x.inner();
            let nats = checked_log_density(target, x.clone())?.try_into_data();
            let nats = nats.map_err(|error| FlowError::Device(error.to_string()))?;
            let pairs = nats.iter::<f64>().zip(samples.log_likelihood.nats().iter());
            log_weights.extend(pairs.map(|(target, own)| target - own));
            blocks.push(x);
        }
        Ok(Self { x: Tensor::cat(blocks, 0), log_weights: LogWeights::new(log_weights)? })
    }
}
