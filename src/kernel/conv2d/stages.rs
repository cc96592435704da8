//! The stages of a convolution besides its sums: activation, padding, epilogue.

use crate::kernel::epilogue::Epilogue;

/// The activation before a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreActivation {
    /// No activation.
    Identity,
    /// [`concat_elu`](crate::kernel::concat_elu): twice the channels.
    ConcatElu,
}

impl PreActivation {
    /// Number of channels that it makes from one.
    pub(crate) fn factor(self) -> usize {
        match self {
            Self::Identity => 1,
            Self::ConcatElu => 2,
        }
    }
}

/// The padding of a convolution: its input outside of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Zeros.
    Zeros,
    /// Zeros, and a border channel that is 1 outside of the image and 0 inside. Without it, zeros
    /// of the padding and zeros of the data look the same. It is the last input channel of the
    /// weights, and not part of `x`. It is the `edge_bias` of Glow's released code.
    Channel,
}

impl Border {
    /// Number of channels that it adds to those of `x`.
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Zeros => 0,
            Self::Channel => 1,
        }
    }
}

/// The stages of a convolution besides its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvStages {
    /// The activation before the convolution.
    pub before: PreActivation,
    /// The padding.
    pub border: Border,
    /// The operation after the sums and the bias.
    pub epilogue: Epilogue,
}

impl ConvStages {
    /// No activation before, zero padding, and nothing after.
    pub const PLAIN: Self = Self::preceded_by(PreActivation::Identity);

    /// An activation, zero padding, and nothing after.
    pub const fn preceded_by(before: PreActivation) -> Self {
        Self { before, border: Border::Zeros, epilogue: Epilogue::Nothing }
    }
}
