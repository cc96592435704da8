//! Half: one half of the channel axis, as couplings cut it.

use std::ops::Range;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// One half of the channel axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Half {
    /// Channels `0..⌈C/2⌉`.
    First,
    /// Channels `⌈C/2⌉..C`.
    Second,
}

impl Half {
    /// [`Half::First`], the default of configurations.
    pub(crate) fn first() -> Self {
        Self::First
    }

    /// Channels of this half and of the other, out of `channels`: the widths of the identity and
    /// the transformed half of a coupling that leaves this half unchanged.
    pub fn widths(self, channels: usize) -> (usize, usize) {
        let first = channels.div_ceil(2);
        match self {
            Self::First => (first, channels - first),
            Self::Second => (channels - first, first),
        }
    }

    /// Channels of the other half: those that a coupling transforms if it leaves this half
    /// unchanged.
    pub fn other_range(self, channels: usize) -> Range<usize> {
        let first = channels.div_ceil(2);
        match self {
            Self::First => first..channels,
            Self::Second => 0..first,
        }
    }

    /// This half of a tensor.
    pub(crate) fn of<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let channels = x.dims()[1];
        let (width, other) = self.widths(channels);
        match self {
            Self::First => x.narrow(1, 0, width),
            Self::Second => x.narrow(1, other, width),
        }
    }

    /// This half and the other.
    pub(crate) fn split<const D: usize>(self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        (self.of(x.clone()), self.opposite().of(x))
    }

    /// Joins the two halves that [`Half::split`] returned.
    pub(crate) fn join<const D: usize>(self, half: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
        match self {
            Self::First => Tensor::cat(vec![half, other], 1),
            Self::Second => Tensor::cat(vec![other, half], 1),
        }
    }

    fn opposite(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}
