//! Order of the channels, or of the elements, along axis 1.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::random::shuffle::shuffled;

/// An order of the indices along axis 1. For [`crate::Permutation`] it states which channel of `x`
/// each channel of `z` is; for [`crate::Made`], which element comes first, second, ...
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Order {
    /// The order of the indices.
    Natural,
    /// The reverse order.
    Reversed,
    /// A random order: ChaCha with 8 rounds keyed with the seed, then Fisher-Yates. One seed gives
    /// the same order on every machine.
    Shuffled {
        /// Seed of the order.
        seed: u64,
    },
    /// The given order, which contains each of `0..n` once.
    Explicit(Vec<usize>),
}

impl Order {
    /// [`Order::Natural`], the default of autoregressive networks.
    pub(crate) fn natural() -> Self {
        Self::Natural
    }

    /// Checks that it is an order of `n` indices, for the field `order` of a configuration.
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

    /// The indices, first to last. An explicit order is returned as it is, whatever `n` is;
    /// configurations check its length.
    pub fn indices(&self, n: usize) -> Vec<usize> {
        match self {
            Self::Natural => (0..n).collect(),
            Self::Reversed => (0..n).rev().collect(),
            Self::Shuffled { seed } => shuffled(n, *seed, 0),
            Self::Explicit(indices) => indices.clone(),
        }
    }
}
