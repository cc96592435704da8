//! What a training step keeps in memory from the forward pass for the backward pass.
//! ```text
//! policy        kept by the forward pass    backward pass                  memory in the depth
//! Store         every graph                 one, through all layers        grows by layers' graphs
//! Recompute     each layer's input          each layer runs again,         grows by layers' inputs
//!                                           with a graph
//! Reversible    the inputs of some layers   the inverse rebuilds an        almost constant
//!                                           input, then as Recompute
//! ```
//! Loss and gradients are the same, with the following exceptions. Without dropout, `Recompute`
//! gives the values of `Store`: the same operations on the same inputs. Where several layers
//! contribute to one gradient (a condition, a shared parameter), it may add them in another order.
//! `Reversible` uses rebuilt inputs, which deviate by at most a tolerance: see
//! [`DriftGuard`](super::DriftGuard).
//!
//! # Random draws
//! Under all policies, a dequantization samples the same noise. `Recompute` and `Reversible` give
//! each layer its own random stream. Their dropout masks are therefore the same in both passes, and
//! the same for both policies. `Store` samples its masks from a single stream, so they differ from
//! those of the other policies.
//!
//! # Reference
//! Chen et al. 2016 for `Recompute`; Gomez et al. 2017 for `Reversible`.

use serde::{Deserialize, Serialize};

/// Policy of a backward pass. The table heads this module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum GradientMemory {
    /// Keep every layer's graph: plain autodiff, the fastest. A condition that holds a graph gives
    /// it up to the update: burn frees it, and panics if a second update or micro-batch goes back
    /// through it.
    Store,
    /// Keep every layer's input and run the layer again.
    Recompute,
    /// Keep next to nothing and rebuild each layer's input by its inverse.
    Reversible {
        /// How far a rebuilt input may be off, relative to the largest number of the input or to 1.
        /// Layers that cannot keep to that are recomputed.
        tolerance: f64,
    },
}

impl GradientMemory {
    /// [`GradientMemory::Reversible`] with a tolerance that the mixture law's inverse keeps to in
    /// float32, and that leaves gradients equal to three digits.
    pub const REVERSIBLE: Self = Self::Reversible { tolerance: 1e-4 };

    /// The policy that needs less memory, if there is one: what to try after an allocation that
    /// failed.
    pub fn thriftier(self) -> Option<Self> {
        match self {
            Self::Store => Some(Self::Recompute),
            Self::Recompute => Some(Self::REVERSIBLE),
            Self::Reversible { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thrift_ends_at_the_inverses() {
        let (mut policy, mut seen) = (GradientMemory::Store, 1);
        while let Some(next) = policy.thriftier() {
            (policy, seen) = (next, seen + 1);
        }
        assert_eq!((policy, seen), (GradientMemory::REVERSIBLE, 3));
    }
}
