//! What the backward pass of a training step keeps of the way there.
//! ```text
//! policy        kept on the way there                on the way back                               memory in the depth
//! Store         every graph                          one backward pass                             grows by layers' graphs
//! Recompute     each layer's input                   that layer again, with a graph                grows by layers' inputs
//! Reversible    one input in some layers             input by the inverse, the layer with a graph  next to constant
//! ```
//! Loss and gradients are the same, up to what is said here. Without dropout `Recompute` makes the numbers of `Store`: the same operations
//! on the same inputs; where several layers add to one gradient (a condition, a shared parameter) it may add in another order.
//! `Reversible` starts from rebuilt inputs, which are off by at most a tolerance: see [`DriftGuard`](super::DriftGuard).
//!
//! # Draws
//! Under all policies a dequantization draws the same noise. `Recompute` and `Reversible` give each layer a stream of its own,
//! and so the same dropout masks on the way back as on the way there, and as each other; `Store` draws its masks from one stream, so they are
//! other ones.
//!
//! # Reference
//! Chen et al. 2016 for `Recompute`; Gomez et al. 2017 for `Reversible`.

use serde::{Deserialize, Serialize};

/// Policy of a backward pass. The table heads this module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum GradientMemory {
    /// Keep every layer's graph: plain autodiff, the fastest. A condition that holds a graph gives it up to the update: burn
    /// frees it, and panics if a second update or micro-batch goes back through it.
    Store,
    /// Keep every layer's input and run the layer again.
    Recompute,
    /// Keep next to nothing and rebuild each layer's input by its inverse.
    Reversible {
        /// How far a rebuilt input may be off, relative to the largest number of the input or to 1. Layers that cannot keep to that are
        /// recomputed.
        tolerance: f64,
    },
}

impl GradientMemory {
    /// [`GradientMemory::Reversible`] with a tolerance that the mixture law's inverse keeps to in float32, and that leaves
    /// gradients equal to three digits.
    pub const REVERSIBLE: Self = Self::Reversible { tolerance: 1e-4 };

    /// The policy that needs less memory, if there is one: what to try after an allocation that failed.
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
