//! The epilogue of a dense layer or a convolution, applied in the same pass over the result.

/// The operation after the sums and the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// No operation.
    Nothing,
    /// `max(y, 0)`, with slope 0 at 0.
    Relu,
}
