//! Layer normalisation over the channels of every position.
//! ```text
//! u = (x − mean)/√(var + ε)           mean and biased variance over the channels
//! y = γ·u + β
//!
//! gx = (γ·g − mean(γ·g) − u·mean(γ·g·u))/√(var + ε)
//! gγ = Σ g·u,  gβ = Σ g               over batch and positions
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `y` | input and result | `[B, C, P]`, any positions |
//! | `γ`, `β` | gain and shift | `[C]` |
//! | `g`, `gx`, `gγ`, `gβ` | gradients of `y`, `x`, `γ` and `β` | as these |
//!
//! # Algorithm
//! Blocks of some positions of all channels are copied to contiguous memory: in an image, the
//! channels of a position are often a power of two apart, so only few of them fit into a cache at a
//! time. Sums run over channels, so vectors run along positions. The backward pass uses only the
//! arguments of the forward pass.
//!
//! # Numerics
//! The variance is computed from the centred elements. The gradients of `γ` and `β` are summed over
//! each example, then over the examples in order, so they do not depend on the number of threads.

mod backward;
mod forward;
mod tile;

pub use backward::Gradients;

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::tasks::Cost;

/// Layer normalisation over channels. The module has the formulas.
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
    /// Instruction set of the kernels.
    pub set: InstructionSet,
}

/// Of an element, by `k.channel_norm` of `benches/kernel/cost.rs`.
pub const FORWARD: Cost = Cost::picoseconds(600);
pub const BACKWARD: Cost = Cost::picoseconds(900);

impl ChannelNorm {
    /// Number of elements of an example.
    fn length(&self) -> usize {
        self.channels * self.positions
    }

    fn check(&self, x: usize, gain: usize, y: usize) {
        let whole = self.batch * self.length();
        let fits = x == whole && gain == self.channels && y == whole;
        assert!(fits, "channel_norm: slices of {x}, {gain} and {y} elements for {self:?}");
    }
}
