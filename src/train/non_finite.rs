//! What happens after a loss or a gradient that is not finite, or an update that would make
//! weights, their average or moments not finite. Under every policy the weights are unaffected by
//! it.
//! ```text
//! Stop      the update is an error, and everything is as it was before it
//! Skip      the batch is skipped: its number counts; weights, moments and average do not change
//! Restore   the same, and weights, moments and average return to those of the last checkpoint
//! ```
//! Batches and noise follow from the number of the update, so that neither policy meets the same
//! batch again.
//!
//! `Restore` keeps a copy in memory of the last checkpoint that was saved
//! ([`Trainer::save`](super::Trainer::save), or [`Trainer::mark_saved`](super::Trainer::mark_saved)
//! after a save by other means; before the first: of the start), at the price of the weights three
//! times. What it goes back to is thereby what a resumed run would have begun with, and a run that
//! was killed and resumed restores the same state as one that was not. Weights that are not finite
//! are never saved, so that it never goes back to such.
//!
//! A run that stopped can go on under another policy or at another rate:
//! [`Trainer::with_non_finite`](super::Trainer::with_non_finite),
//! [`Trainer::with_learning_rate`](super::Trainer::with_learning_rate).

use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// Policy for losses, gradients and updates that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NonFinite {
    /// Stop with an error that names the layer.
    Stop,
    /// Pass the batch over.
    Skip {
        /// Failures in a row; one more is an error.
        at_most: u64,
    },
    /// Pass the batch over and go back to the last checkpoint.
    Restore {
        /// Times to go back to the same checkpoint; one more is an error, however many good updates
        /// were between them, since a run that fails again and again before it can save gets
        /// nowhere.
        at_most: u64,
    },
}

/// What became of an update.
#[derive(Debug, Clone, PartialEq)]
pub enum UpdateOutcome {
    /// The weights moved.
    Done,
    /// The batch was passed over, for this reason.
    Skipped(TrainError),
    /// The batch was passed over, for this reason, and the weights are those of the last
    /// checkpoint.
    Restored(TrainError),
    /// The batch was passed over under every policy: a gradient in float16 overflowed, and the
    /// [loss scale](super::LossScale) was halved.
    Overflowed,
}
