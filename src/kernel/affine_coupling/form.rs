//! The forms of the affine law.

use serde::{Deserialize, Serialize};

/// How scale and shift act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AffineForm {
    /// `x·exp(tanh s) + t` (Flow++).
    Exponential,
    /// `(x + t)·σ(s + 2)` (Glow).
    Sigmoid,
    /// `(x + t)·(1 + σ(s + 2))/2`: an inverse that cannot overflow by itself.
    Bounded,
    /// `(x − t)·exp(−s)`: what makes `N(t, e^2s)` standard (Glow's learned priors).
    Normal,
    /// `x + t` (NICE, Glow).
    Additive,
}

impl AffineForm {
    /// Parameters for each element.
    pub fn n_params(self) -> usize {
        match self {
            Self::Additive => 1,
            _ => 2,
        }
    }
}
