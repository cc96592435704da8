//! The operation on slices.
//!
//! # Algorithm
//! Works on blocks of rows. The blocks depend only on the shape, so results do not depend on the
//! number of threads. The gradients of weights and bias are summed over each block, then over the
//! blocks in order. Layers with few inputs or few outputs do not use matrix products.

mod narrow;
mod product;

use crate::kernel::cpu::scratch::Scratch;
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::epilogue::Epilogue;
use narrow::NARROW;

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
    /// `y` from `x`. All of it is written.
    ///
    /// # Panics
    /// If the lengths do not match, here and below.
    pub fn forward<T: Scratch>(&self, x: &[T], weight: &[T], bias: &[T], y: &mut [T]) {
        self.check(x.len(), weight.len(), bias.len(), y.len());
        if y.is_empty() {
            return;
        }
        if self.inputs.min(self.outputs) <= NARROW {
            narrow::forward(self, x, weight, bias, y);
        } else {
            product::forward(self, x, weight, bias, y);
        }
    }

    /// Gradients from the gradient of `y`, and from `y` itself.
    pub fn backward<T: Scratch>(&self, tape: Tape<'_, T>, gradients: Gradients<'_, T>) {
        self.check(tape.x.len(), tape.weight.len(), self.outputs, tape.y.len());
        let of_x = gradients.x.as_ref().map_or(tape.x.len(), |of_x| of_x.len());
        self.check(of_x, gradients.weight.len(), gradients.bias.len(), tape.gradient.len());
        gradients.weight.fill(T::zero());
        gradients.bias.fill(T::zero());
        if tape.y.is_empty() {
            gradients.x.into_iter().for_each(|of_x| of_x.fill(T::zero()));
            return;
        }
        if self.inputs.min(self.outputs) <= NARROW {
            narrow::backward(self, tape, gradients);
        } else {
            product::backward(self, tape, gradients);
        }
    }

    fn check(&self, x: usize, weight: usize, bias: usize, y: usize) {
        let Self { rows, inputs, outputs, .. } = *self;
        let fits =
            [x, weight, bias, y] == [rows * inputs, inputs * outputs, outputs, rows * outputs];
        assert!(
            fits,
            "linear: x has {x} elements, the weights {weight}, the bias {bias}, y {y}, for {self:?}"
        );
    }

    /// Number of rows in a block.
    fn block(&self) -> usize {
        self.rows.div_ceil(BLOCKS).max(ROWS)
    }
}

/// The part of each block in the gradient of `x`; empty slices if it is not required.
fn of_blocks<T>(of_x: Option<&mut [T]>, length: usize, blocks: usize) -> Vec<&mut [T]> {
    match of_x {
        Some(of_x) => of_x.chunks_mut(length).collect(),
        None => (0..blocks).map(|_| Default::default()).collect(),
    }
}
