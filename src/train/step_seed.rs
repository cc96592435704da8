//! Noise seeds: the random numbers of a step, as a function of the step and not of what ran before
//! it.
//!
//! ```text
//! key            = mix(run ⊕ mix(purpose))
//! seed(step)     = mix(key + (step + 1)·γ)                      γ = 0x9E3779B97F4A7C15
//! ```
//! This is output `step` of a SplitMix64 generator that starts at `key`. For one run and one
//! purpose all seeds differ: γ is odd, hence `step ↦ key + (step + 1)·γ` is a bijection of 64-bit
//! integers, and so is `mix`.
//!
//! # Reference
//! Steele, Lea & Flood 2014, *Fast splittable pseudorandom number generators*; the constants of
//! `mix` are variant 13 of Stafford 2011, *Better bit mixing*.

use crate::random::draw::{GAMMA, mix};

/// The purpose of the noise of a step. Different purposes sample unrelated noise, so evaluating
/// more often does not change the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// The initial values of the parameters.
    Initialization,
    /// Batches, dequantization noise and dropout of a training step.
    Training,
    /// The noise of a bound that is being measured.
    Evaluation,
    /// Samples from the model.
    Sampling,
    /// Dropout of a training step that is replayed layer by layer.
    Layers,
}

impl Purpose {
    /// Part of every derived seed: these numbers must never change.
    const fn tag(self) -> u64 {
        match self {
            Purpose::Initialization => 1,
            Purpose::Training => 2,
            Purpose::Evaluation => 3,
            Purpose::Sampling => 4,
            Purpose::Layers => 5,
        }
    }
}

/// Derives the seed of a step from the seed of the run, without state.
///
/// A generator that is seeded only once loses its state when a run stops. With a scope
/// [`Seeded::new(&device, seeds.seed(step, ..))`](crate::random::Seeded) around every step, a
/// resumed run samples the same noise as an uninterrupted run. Random values sampled between the
/// steps (another model, a batch, samples) depend on the caller's own seed and not on these seeds.
/// A [`Trainer`](super::Trainer) opens such a scope itself.
///
/// In burn a device's generator is global to the process: two runs on two threads of one process
/// affect each other.
///
/// ```
/// use flowkit::train::{Purpose, StepSeed};
///
/// let seeds = StepSeed::new(7);
/// assert_eq!(seeds.seed(100, Purpose::Training), StepSeed::new(7).seed(100, Purpose::Training));
/// assert_ne!(seeds.seed(100, Purpose::Training), seeds.seed(101, Purpose::Training));
/// assert_ne!(seeds.seed(100, Purpose::Training), seeds.seed(100, Purpose::Sampling));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepSeed {
    run: u64,
}

impl StepSeed {
    /// The seeds of the run with the seed `run`.
    pub const fn new(run: u64) -> Self {
        Self { run }
    }

    /// The seed of the run.
    pub const fn run(&self) -> u64 {
        self.run
    }

    /// The seeds of micro-batch `index` of every step. The first micro-batch has those of the run
    /// itself, so a single micro-batch is the whole batch.
    pub const fn part(self, index: u64) -> Self {
        match index {
            0 => self,
            // A tag that no purpose has.
            _ => Self { run: split_mix(mix(self.run ^ mix(u64::MAX)), index) },
        }
    }

    /// The seed of one step for one purpose.
    pub const fn seed(&self, step: u64, purpose: Purpose) -> u64 {
        split_mix(mix(self.run ^ mix(purpose.tag())), step)
    }
}

/// Output `index` (from 0) of the SplitMix64 generator that starts at `state`.
const fn split_mix(state: u64, index: u64) -> u64 {
    mix(state.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The published test vectors of SplitMix64.
    #[test]
    fn split_mix_is_the_published_generator() {
        assert_eq!(
            [0, 1, 2].map(|i| split_mix(0, i)),
            [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]
        );
        assert_eq!(
            [0, 1].map(|i| split_mix(1_234_567, i)),
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn runs_steps_and_purposes_do_not_meet() {
        use Purpose::{Evaluation, Initialization, Layers, Sampling, Training};
        let mut seen = HashSet::new();
        for run in 0..8 {
            for purpose in [Initialization, Training, Evaluation, Sampling, Layers] {
                for (step, part) in (0..500).flat_map(|step| [0, 1, 2].map(|part| (step, part))) {
                    let seeds = StepSeed::new(run).part(part);
                    assert!(
                        seen.insert(seeds.seed(step, purpose)),
                        "{run} {part} {step} {purpose:?}"
                    );
                }
            }
        }
    }
}
