//! Which images the steps of a loader return: those of training or those of an evaluation.

use serde::{Deserialize, Serialize};

use super::{Batches, DataError};

/// Which images a step of a loader returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pass {
    /// The order of [`Batches`]: every epoch is shuffled anew, and an incomplete last batch is left
    /// out. For training.
    Shuffled,
    /// The order of [`chunks`](super::chunks): every image once and in order; the last batch may be
    /// smaller. For evaluation.
    Sequential,
}

/// A pass with its sizes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    Shuffled(Batches),
    Sequential { n_items: usize, batch_size: usize },
}

impl Plan {
    pub(super) fn new(
        pass: Pass,
        n_items: usize,
        batch_size: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        match pass {
            Pass::Shuffled => Ok(Self::Shuffled(Batches::new(n_items, batch_size, seed)?)),
            Pass::Sequential if batch_size == 0 => Err(DataError::BatchOfZero),
            Pass::Sequential if n_items == 0 => {
                Err(DataError::BatchTooLarge { batch_size, n_items })
            }
            Pass::Sequential => Ok(Self::Sequential { n_items, batch_size }),
        }
    }

    pub(super) fn steps_per_epoch(&self) -> usize {
        match self {
            Self::Shuffled(batches) => batches.steps_per_epoch(),
            Self::Sequential { n_items, batch_size } => n_items.div_ceil(*batch_size),
        }
    }

    /// Items seen in `steps` steps from the start of an epoch.
    pub(super) fn items(&self, steps: usize) -> usize {
        match self {
            Self::Shuffled(batches) => batches.batch_size() * steps,
            Self::Sequential { n_items, batch_size } => {
                batch_size.saturating_mul(steps).min(*n_items)
            }
        }
    }

    pub(super) fn indices(&self, step: usize) -> Vec<usize> {
        match self {
            Self::Shuffled(batches) => batches.indices(step),
            Self::Sequential { .. } => {
                let place = step % self.steps_per_epoch();
                (self.items(place)..self.items(place + 1)).collect()
            }
        }
    }
}
