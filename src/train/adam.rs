//! Adam in one pass over the parameters.
//! ```text
//! m ← β₁·m + (1 − β₁)·g                    v ← β₂·v + (1 − β₂)·g²
//! θ ← θ − rate/(1 − β₁^t) · m/(√(v/(1 − β₂^t)) + ε)
//! ```
//! `t` counts the updates of a parameter from 1; `m` and `v` start at 0.
//!
//! The updates equal those of burn's `Adam` without its options. Its record has the same names and
//! moments, so a run can change from one to the other. On the CPU a kernel computes an update on
//! all threads. On a GPU a launch of a [`Trainer`](super::Trainer) updates many parameters.
//!
//! # Numerics
//! A parameter whose gradients were all 0 has `m = v = 0`; `ε` keeps it unchanged. In float32 the
//! squares of gradients below 1e-22 round to 0. With the default `ε` this makes no difference: such
//! a root is negligible beside it.
//!
//! # Reference
//! Kingma & Ba 2015, algorithm 1.

use burn::optim::{LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};

use super::adam_together::{self, Update};
use super::moment_state::{AdamMoments, Moments};
use crate::error::ConfigError;
use crate::kernel::adam::Rates;

/// Adam. The formulas head this module.
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

impl Default for Adam {
    /// The values of the paper: β 0.9 and 0.999, ε 1e-8.
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 }
    }
}

impl Adam {
    /// Adam with the decays `β₁` and `β₂`, in `[0, 1)`, and a positive, finite `ε`.
    ///
    /// # Panics
    /// With the text of [`ConfigError::OutOfRange`], for values outside these ranges.
    pub fn new(beta_1: f64, beta_2: f64, epsilon: f64) -> Self {
        let decay = |field, value| ConfigError::below_one("Adam", field, value);
        let epsilon_fits = ConfigError::positive_finite("Adam", "epsilon", epsilon);
        if let Err(error) = decay("beta_1", beta_1).and(decay("beta_2", beta_2)).and(epsilon_fits) {
            panic!("{error}");
        }
        Self { beta_1, beta_2, epsilon }
    }

    /// The optimizer for all parameters of a module.
    pub fn init(self) -> ModuleOptimizer {
        ModuleOptimizer::from(self)
    }
}

impl Optimizer for Adam {
    /// Its record has the names of burn's Adam.
    type State<const D: usize> = AdamMoments<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        if let Some((parameter, moments)) = adam_together::handed_out() {
            return (parameter, Some(AdamMoments(moments)));
        }
        let Self { beta_1, beta_2, epsilon } = *self;
        let gradient = gradient.without_autodiff();
        let (time, mean, square) = match state {
            None => (1, gradient.zeros_like(), gradient.zeros_like()),
            Some(AdamMoments(Moments { time, mean, square })) => (time + 1, mean, square),
        };
        let root = (1.0 - beta_2.powf(time as f64)).sqrt();
        let rates = Rates {
            beta_1,
            beta_2,
            // √(v/(1 − β₂^t)) + ε, with both terms multiplied by the root.
            rate: rate * root / (1.0 - beta_1.powf(time as f64)),
            epsilon: epsilon * root,
        };
        let moments = Moments { time, mean, square };
        let update = Update { parameter, gradient, moments, rates };
        if adam_together::collects(&update.gradient) {
            let parameter = update.parameter.clone();
            adam_together::collect(update);
            return (parameter, None);
        }
        let (parameter, moments) = update.now();
        (parameter, Some(AdamMoments(moments)))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        AdamMoments(state.0.moved_to(device))
    }
}
