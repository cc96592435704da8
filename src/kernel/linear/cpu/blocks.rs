//! The operands of a call, and the blocks of rows in which they are processed.

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::tasks::{Cost, items_per_sum};
use crate::kernel::epilogue::Epilogue;

/// Of a weight for a row, forward and backward: of a layer as products, and of a narrow one. By
/// `k.linear` of `benches/kernel/cost.rs`.
const PRODUCT: [Cost; 2] = [Cost::picoseconds(20), Cost::picoseconds(42)];
const NARROW_ROWS: [Cost; 2] = [Cost::picoseconds(140), Cost::picoseconds(190)];

/// Most elements of a narrow row.
pub const NARROW: usize = 4;

/// Sizes and epilogue of a layer. The parent module has the formulas.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub epilogue: Epilogue,
    pub set: InstructionSet,
}

/// The tensors from which gradients are computed.
#[derive(Debug, Clone, Copy)]
pub struct Tape<'a, T> {
    pub x: &'a [T],
    pub weight: &'a [T],
    pub y: &'a [T],
    /// Gradient of `y`.
    pub gradient: &'a [T],
}

/// The slices for the gradients. All of them are written in full.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// Gradient of `x`, if it is required.
    pub x: Option<&'a mut [T]>,
    pub weight: &'a mut [T],
    pub bias: &'a mut [T],
}

impl Linear {
    /// Whether the layer has few inputs or few outputs.
    pub fn is_narrow(&self) -> bool {
        self.inputs.min(self.outputs) <= NARROW
    }

    /// Costs of a row, forward and backward.
    pub fn costs(&self) -> [Cost; 2] {
        let weight = if self.is_narrow() { NARROW_ROWS } else { PRODUCT };
        weight.map(|cost| cost.times(self.inputs * self.outputs))
    }

    /// Number of rows in a block.
    pub fn block(&self) -> usize {
        let [_, backward] = self.costs();
        items_per_sum(self.rows, backward, (self.inputs + 1) * self.outputs)
    }
}

/// The part of each block in the gradient of `x`; empty slices if it is not required.
pub fn of_blocks<T>(of_x: Option<&mut [T]>, length: usize, blocks: usize) -> Vec<&mut [T]> {
    match of_x {
        Some(of_x) => of_x.chunks_mut(length).collect(),
        None => (0..blocks).map(|_| Default::default()).collect(),
    }
}
