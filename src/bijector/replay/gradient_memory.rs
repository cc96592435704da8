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
#[serde(deny_unknown_fields)]
pub enum GradientMemory {
    /// Keep every layer's graph: plain autodiff, the fastest policy. A condition with a graph can
    /// be used for one update only: burn frees its graph, and panics if a second update or
    /// micro-batch differentiates through it.
    Store,
    /// Keep every layer's input and run the layer again.
    Recompute,
    /// Keep almost nothing and rebuild each layer's input by its inverse.
    Reversible {
        /// Largest error of a rebuilt input, relative to the largest element of the input or to 1.
        /// Layers that cannot stay within it are recomputed.
        tolerance: f64,
    },
}

impl GradientMemory {
    /// [`GradientMemory::Reversible`] with a tolerance that the inverse of the mixture law meets in
    /// float32 and with which three digits of the gradients agree.
    pub const REVERSIBLE: Self = Self::Reversible { tolerance: 1e-4 };

    /// The policy that needs less memory, if there is one, to try after a failed allocation.
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
