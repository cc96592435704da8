//! The factors of an update of Adam.

/// The factors of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// `β₁`, decay of the mean.
    pub beta_1: f64,
    /// `β₂`, decay of the mean of squares.
    pub beta_2: f64,
    /// Step size, corrected for the means' initial value 0.
    pub rate: f64,
    /// `ε`, corrected like the root beside it.
    pub epsilon: f64,
}
