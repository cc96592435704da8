//! What follows the sums of a dense layer or of a convolution, in the same pass over the result.

/// What follows the sums and the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Nothing.
    Nothing,
    /// `max(y, 0)`, with slope 0 at 0.
    Relu,
}
