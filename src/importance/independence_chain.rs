//! Independence Metropolis-Hastings: a Markov chain whose stationary distribution is the target.
//! ```text
//! proposal      sample i of the proposal density, in the order of the samples
//! acceptance    min(1, w_i/w_current)
//! ```
//! The chain starts at the first sample whose weight is not 0. Each later sample is proposed once.
//! As the chain grows, its states are distributed as the target, whatever the normalising constant
//! is; a sample of a very large weight is repeated until another is accepted.
//!
//! # Numerics
//! A proposal is accepted if `ln u < ln w_i − ln w_current`, with `u` in (0, 1). The uniform
//! numbers are those of a ChaCha generator with 8 rounds.
//! The standard error of a mean is that of `⌊√n⌋` consecutive batches of equal size, which covers
//! the correlation of states that are less than a batch apart; the states of an incomplete last
//! batch count for the mean alone.
//!
//! # Reference
//! Tierney 1994 §2.3.3 (the chain); Flegal & Jones 2010 (batch means); Albergo, Kanwar & Shanahan
//! 2019 (with a flow as the proposal).

use super::error::ImportanceError;
use super::estimate::{Estimate, largest_magnitude};
use crate::random::draw::{generator, unit};

/// Separates the chain's random numbers from others of the same seed.
const STREAM: u64 = 0x494D_4843; // "IMHC"

/// Smallest number of batches of an error.
const LEAST_BATCHES: usize = 4;

/// A chain over the samples of a proposal. The formulas head this module.
#[derive(Debug, Clone, PartialEq)]
pub struct IndependenceChain {
    states: Vec<usize>,
    accepted: usize,
}

impl IndependenceChain {
    /// Runs the chain over all samples, of which at least one has a weight above 0.
    pub(super) fn run(log_weights: &[f64], seed: u64) -> Self {
        let mut generator = generator([seed, STREAM, 0, 0]);
        let positive = log_weights.iter().position(|nats| *nats > f64::NEG_INFINITY);
        let mut current = positive.unwrap_or(0);
        let mut states = Vec::with_capacity(log_weights.len() - current);
        states.push(current);
        let mut accepted = 0;
        for (proposed, nats) in log_weights.iter().enumerate().skip(current + 1) {
            // The current state has a finite log-weight, so the difference is no NaN.
            if unit(&mut generator).ln() < nats - log_weights[current] {
                (current, accepted) = (proposed, accepted + 1);
            }
            states.push(current);
        }
        Self { states, accepted }
    }

    /// The index of the sample that the chain is at, at each step.
    pub fn states(&self) -> &[usize] {
        &self.states
    }

    /// Share of the proposals that were accepted. 1 without any proposal.
    pub fn acceptance_rate(&self) -> f64 {
        match self.states.len() {
            1 => 1.0,
            steps => self.accepted as f64 / (steps - 1) as f64,
        }
    }

    /// Mean of a function over the chain, from its value at each sample, with an error that takes
    /// the correlation of the states into account.
    ///
    /// # Errors
    /// [`ImportanceError::TooFew`] for fewer than 16 states; [`ImportanceError::ValueCount`] if a
    /// state has no value; [`ImportanceError::Value`] if the value of a state is not finite.
    pub fn mean(&self, values: &[f64]) -> Result<Estimate, ImportanceError> {
        ImportanceError::at_least(
            "a mean over a chain",
            LEAST_BATCHES * LEAST_BATCHES,
            self.states.len(),
        )?;
        let last = self.states.iter().copied().max().unwrap_or(0);
        if values.len() <= last {
            return Err(ImportanceError::ValueCount { expected: last + 1, found: values.len() });
        }
        if let Some(&sample) = self.states.iter().find(|&&state| !values[state].is_finite()) {
            return Err(ImportanceError::Value { sample, found: values[sample] });
        }
        let unit = largest_magnitude(self.states.iter().map(|&state| values[state]));
        let of = |states: &[usize]| {
            states.iter().map(|&state| values[state] / unit).sum::<f64>() / states.len() as f64
        };
        let batches = self.states.len().isqrt();
        let means: Vec<f64> =
            self.states.chunks_exact(self.states.len() / batches).take(batches).map(of).collect();
        let centre = means.iter().sum::<f64>() / batches as f64;
        let variance = means.iter().map(|mean| (mean - centre).powi(2)).sum::<f64>()
            / (batches * (batches - 1)) as f64;
        let estimate = Estimate { value: of(&self.states), standard_error: variance.sqrt() };
        Ok(estimate.of_unit(unit))
    }
}
