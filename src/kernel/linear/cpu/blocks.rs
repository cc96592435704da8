//! The operands of a call, and the blocks of rows in which they are processed.

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::epilogue::Epilogue;

/// Fewest rows of a block.
const ROWS: usize = 512;

/// Most blocks. Each block has its own sums for the weights.
const BLOCKS: usize = 8;

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
    /// Number of rows in a block.
    pub fn block(&self) -> usize {
        self.rows.div_ceil(BLOCKS).max(ROWS)
    }
}

/// The part of each block in the gradient of `x`; empty slices if it is not required.
pub fn of_blocks<T>(of_x: Option<&mut [T]>, length: usize, blocks: usize) -> Vec<&mut [T]> {
    match of_x {
        Some(of_x) => of_x.chunks_mut(length).collect(),
        None => (0..blocks).map(|_| Default::default()).collect(),
    }
}
