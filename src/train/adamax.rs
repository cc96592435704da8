//! Adamax as Glow trains: Adam with a decayed maximum instead of the root of the second moment.
//! ```text
//! m ← 0.9·m + 0.1·g                        u ← max(β₂·u, |g|)
//! θ ← θ − rate·√(1 − β₂^t)/(1 − 0.9^t) · m/(u + 1e-8)
//! ```
//! `t` counts the updates of a parameter from 1. The first update moves every parameter by
//! `rate·√(1 − β₂)`, a thirtieth of the rate at β₂ = 0.999: the factor `√(1 − β₂^t)` acts as a
//! warm-up of about `1/(1 − β₂)` updates.
//!
//! # Numerics
//! A parameter whose gradients were all 0 has `u = 0` and `m = 0`; the 1e-8 keeps it unchanged.
//!
//! # Reference
//! Glow's released code. Kingma & Ba 2015 §7.1 have neither the factor `√(1 − β₂^t)`, which `u`
//! does not need, nor the 1e-8.

use burn::optim::{LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};

use super::moment_state::Moments;
use crate::error::ConfigError;

/// Decay of the mean of the gradients, as in the released code.
const BETA_1: f64 = 0.9;

/// Avoids 0/0; as in the released code.
const EPSILON: f64 = 1e-8;

/// Adamax. The formulas head this module.
#[derive(Debug, Clone, Copy)]
pub struct Adamax {
    beta_2: f64,
}

impl Adamax {
    /// Adamax with the decay `β₂` of the maximum, in `[0, 1)`.
    ///
    /// # Panics
    /// With the text of [`ConfigError::OutOfRange`], for a value outside this range.
    pub fn new(beta_2: f64) -> Self {
        if let Err(error) = ConfigError::below_one("Adamax", "beta_2", beta_2) {
            panic!("{error}");
        }
        Self { beta_2 }
    }

    /// The optimizer for all parameters of a module.
    pub fn init(self) -> ModuleOptimizer {
        ModuleOptimizer::from(self)
    }
}

impl Optimizer for Adamax {
    /// A count and two tensors, `m` and `u`. Their names in a record are those of burn's Adam
    /// without `momentum.`.
    type State<const D: usize> = Moments<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let size = gradient.clone().abs();
        let gradient = gradient.mul_scalar(1.0 - BETA_1);
        let (time, mean, largest) = match state {
            None => (1, gradient, size),
            Some(state) => (
                state.time + 1,
                state.mean.mul_scalar(BETA_1) + gradient,
                state.square.mul_scalar(self.beta_2).max_pair(size),
            ),
        };
        let factor =
            rate * (1.0 - self.beta_2.powf(time as f64)).sqrt() / (1.0 - BETA_1.powf(time as f64));
        let change = (mean.clone() / largest.clone().add_scalar(EPSILON)).mul_scalar(factor);
        (parameter - change, Some(Moments { time, mean, square: largest }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.moved_to(device)
    }
}
