//! What happens after a loss or a gradient that is not finite, or an update that would make
//! weights, their average or moments not finite. Under every policy it does not affect the weights.
//! ```text
//! Stop      the update is an error, and everything is as it was before it
//! Skip      the batch is skipped: its number counts; weights, moments and average do not change
//! Restore   the same, and weights, moments and average return to those of the last checkpoint
//! ```
//! Batches and noise follow from the number of the update, so no policy repeats the failed batch.
//!
//! `Restore` keeps a copy of the state of the last saved checkpoint in memory
//! ([`Trainer::save`](super::Trainer::save), or [`Trainer::mark_saved`](super::Trainer::mark_saved)
//! after a save by other means; before the first, of the initial state). The copy takes as much
//! memory as weights, average and moments together. It is the state with which a resumed run would
//! begin, so a run that was killed and resumed restores the same state as an uninterrupted one.
//! Weights that are not finite are never saved and therefore never restored.
//!
//! A run that stopped can continue under another policy or at another learning rate:
//! [`Trainer::with_non_finite`](super::Trainer::with_non_finite),
//! [`Trainer::with_learning_rate`](super::Trainer::with_learning_rate).

use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// Policy for losses, gradients and updates that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum NonFinite {
    /// Stop with an error that names the layer.
    Stop,
    /// Skip the batch.
    Skip {
        /// Largest number of failures in a row; one more is an error.
        at_most: u64,
    },
    /// Skip the batch and restore the last checkpoint.
    Restore {
        /// Largest number of returns to the same checkpoint; one more is an error, however many
        /// good updates lie between them. A run that fails repeatedly before it can save makes no
        /// progress.
        at_most: u64,
    },
}

/// The outcome of an update.
#[derive(Debug, Clone, PartialEq)]
pub enum UpdateOutcome {
    /// The weights were updated.
    Done,
    /// The batch was skipped, for this reason.
    Skipped(TrainError),
    /// The batch was skipped, for this reason, and the weights are those of the last checkpoint.
    Restored(TrainError),
    /// The batch was skipped under every policy: a gradient in float16 overflowed, and the [loss
    /// scale](super::LossScale) was halved.
    Overflowed,
}
