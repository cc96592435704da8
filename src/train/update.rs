//! The result of an update of a [`Trainer`](super::Trainer).

use super::UpdateOutcome;

/// The result of an update. `B` is a [`BitsPerDim`](crate::BitsPerDim), with its provenance, if the
/// loss is an [`Objective`](super::Objective), and `()` if it is a closure.
#[derive(Debug, Clone, PartialEq)]
pub struct Update<B = ()> {
    /// Number of this update, from 1.
    pub step: u64,
    /// Loss before it, in nats per example. Finite if the update was made.
    pub loss: f64,
    /// Minus the mean log-likelihood in bits per dimension: the loss, divided by the mean weight of
    /// the examples. A closure does not know the number of elements.
    pub bits_per_dim: B,
    /// Global norm of the gradient before the clip, in the unit of the configuration; NaN if the
    /// update was not made.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Factor of the loss in the backward pass; 1 unless [`Precision::F16`](super::Precision::F16).
    pub loss_scale: f64,
    /// Largest drift of the rebuilt inputs that were compared, as defined by
    /// [`DriftGuard`](crate::bijector::replay::DriftGuard); `None` if none was compared.
    pub drift: Option<f64>,
    /// Whether it was made. It always is under [`NonFinite::Stop`](super::NonFinite::Stop) and
    /// without [`Precision::F16`](super::Precision::F16).
    pub outcome: UpdateOutcome,
}

impl Update {
    /// Adds the bits/dim of a loss that is minus a mean log-likelihood.
    pub(super) fn with_bits_per_dim<B>(self, bits_per_dim: B) -> Update<B> {
        let Self { step, loss, gradient_norm, learning_rate, loss_scale, drift, outcome, .. } =
            self;
        Update {
            step,
            loss,
            bits_per_dim,
            gradient_norm,
            learning_rate,
            loss_scale,
            drift,
            outcome,
        }
    }
}
