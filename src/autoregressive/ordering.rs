//! The order in which the numbers of a vector depend on one another.

use serde::{Deserialize, Serialize};

use crate::shuffle::shuffled;

/// Which number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ordering {
    /// As they stand.
    Natural,
    /// Last to first.
    Reversed,
    /// Shuffled: Fisher-Yates with ChaCha8, the same on every machine ([`crate::data::Batches`]).
    Random {
        /// Seed of the shuffle.
        seed: u64,
    },
}

impl Ordering {
    /// Indices of `dims` numbers, first to last.
    pub fn indices(self, dims: usize) -> Vec<usize> {
        match self {
            Self::Natural => (0..dims).collect(),
            Self::Reversed => (0..dims).rev().collect(),
            Self::Random { seed } => shuffled(dims, seed, 0),
        }
    }
}
