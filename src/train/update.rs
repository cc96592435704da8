//! What a [`Trainer`](super::Trainer) tells of an update.

use super::UpdateOutcome;

/// What an update did.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Number of this update, from 1.
    pub step: u64,
    /// Loss before it, nats per example. Finite if the update was done.
    pub loss: f64,
    /// Loss before it, bits per dimension. Finite if the update was done.
    pub bits_per_dim: f64,
    /// Global norm of the gradient before the clip, in the unit of the configuration; NaN if the
    /// update was not done.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Factor on the loss on its way back; 1 unless [`Precision::F16`](super::Precision::F16).
    pub loss_scale: f64,
    /// Largest drift of the rebuilt inputs that were compared, as [`DriftGuard`](crate::DriftGuard)
    /// defines it; `None` where none was.
    pub drift: Option<f64>,
    /// Whether it was done. Always, under [`NonFinite::Stop`](super::NonFinite::Stop) and without
    /// [`Precision::F16`](super::Precision::F16).
    pub outcome: UpdateOutcome,
}
