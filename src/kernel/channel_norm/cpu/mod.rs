//! Layer normalisation over the channels of every position.
//! ```text
//! u = (x − mean)/√(var + ε)                               over the channels, biased
//! y = γ·u + β
//!
//! gx = (γg − mean(γg) − u·mean(γg·u))/√(var + ε)     gγ = Σ g·u,  gβ = Σ g over batch, positions
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `y`, `g`, `gx` | | `[B, C, P]`, any positions |
//! | `γ`, `β` | gain and shift | `[C]` |
//!
//! # Algorithm
//! Some positions of all channels are copied together, next to each other: the channels of a
//! position lie a power of two apart in an image, where few of them fit a cache at a time. Sums run
//! over channels, so vectors lie along positions. Nothing is kept from the forward pass but its
//! arguments.
//!
//! # Numerics
//! The variance is that of the centred numbers. The gradients of `γ` and `β` are summed by example,
//! then over the examples in order, so they do not depend on the number of threads.

mod backward;
mod forward;
mod tile;

pub use backward::Gradients;

use crate::kernel::simd::InstructionSet;

/// Layer normalisation over channels. The formulas head this module.
#[derive(Debug, Clone, Copy)]
pub struct ChannelNorm {
    /// Examples `B`.
    pub batch: usize,
    /// Channels `C`.
    pub channels: usize,
    /// Positions `P`.
    pub positions: usize,
    /// `ε`.
    pub epsilon: f64,
    /// What to compute with.
    pub set: InstructionSet,
}

/// Operations of a number, about.
const OPERATIONS: usize = 100;

impl ChannelNorm {
    /// Numbers of an example.
    fn length(&self) -> usize {
        self.channels * self.positions
    }

    fn check(&self, x: usize, gain: usize, y: usize) {
        let whole = self.batch * self.length();
        let fits = x == whole && gain == self.channels && y == whole;
        assert!(fits, "channel_norm: slices of {x}, {gain} and {y} numbers for {self:?}");
    }
}
