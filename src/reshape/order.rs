//! Order: how the numbers or channels along axis 1 follow one another.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::random::shuffle::shuffled;

/// An order of the places along axis 1: for [`crate::Permutation`] which channel of `x` each
/// channel of `z` is, for [`crate::Made`] which number comes first, second, ...
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// As they stand.
    Natural,
    /// The last first.
    Reversed,
    /// A random order, the same wherever and whenever it is made from the same seed: ChaCha with 8
    /// rounds keyed with the seed, then Fisher-Yates.
    Shuffled {
        /// Seed of the order.
        seed: u64,
    },
    /// As listed; each of `0..n` once.
    Explicit(Vec<usize>),
}

impl Order {
    /// [`Order::Natural`], the default of autoregressive networks.
    pub(crate) fn natural() -> Self {
        Self::Natural
    }

    /// Whether it is an order of `n` places, for the field `order` of a configuration.
    pub(crate) fn validate(&self, config: &'static str, n: usize) -> Result<(), ConfigError> {
        let Self::Explicit(indices) = self else { return Ok(()) };
        if indices.len() == n {
            let mut sorted = indices.clone();
            sorted.sort_unstable();
            if sorted.into_iter().eq(0..n) {
                return Ok(());
            }
        }
        Err(ConfigError::NotPermutation { config, field: "order", n, found: indices.clone() })
    }

    /// The places, first to last. An explicit order is as long as it is, whatever `n` says;
    /// configurations check that.
    pub fn indices(&self, n: usize) -> Vec<usize> {
        match self {
            Self::Natural => (0..n).collect(),
            Self::Reversed => (0..n).rev().collect(),
            Self::Shuffled { seed } => shuffled(n, *seed, 0),
            Self::Explicit(indices) => indices.clone(),
        }
    }
}
