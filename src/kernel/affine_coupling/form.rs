//! The forms of the affine law.

use serde::{Deserialize, Serialize};

/// The form in which scale and shift act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AffineForm {
    /// `x·exp(tanh s) + t` (Flow++).
    Exponential,
    /// `(x + t)·σ(s + 2)` (Glow).
    Sigmoid,
    /// `(x + t)·(1 + σ(s + 2))/2`: its inverse multiplies by at most 2, so it cannot overflow by
    /// itself.
    Bounded,
    /// `(x − t)·exp(−s)`, which maps `N(t, e^2s)` to a standard normal (Glow's learned priors).
    Normal,
    /// `x + t` (NICE, Glow).
    Additive,
}

impl AffineForm {
    /// Number of parameters of each element.
    pub fn n_params(self) -> usize {
        match self {
            Self::Additive => 1,
            _ => 2,
        }
    }
}
