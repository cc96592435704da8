//! The operation on slices.
//!
//! # Algorithm
//! Blocks of rows, fixed by the shape: results do not depend on the number of threads. The gradients of weights and bias are summed by block,
//! then over the blocks in order.

use rayon::prelude::*;

use super::After;
use crate::kernel::matmul::{Matrix, MatrixMut, Write, matmul};
use crate::kernel::scratch::{Scratch, cut};
use crate::kernel::simd::{InstructionSet, Kernel, MultiplyAdd, Real};
use crate::kernel::transpose::Transpose;

/// Fewest rows of a block.
const ROWS: usize = 512;

/// Most blocks: each has sums of its own for the weights.
const BLOCKS: usize = 8;

/// Sizes, and what stands behind the sum. The formulas head the module above.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub after: After,
    pub set: InstructionSet,
}

/// Where the gradients go.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// Of `x`, if it is asked for.
    pub x: Option<&'a mut [T]>,
    pub weight: &'a mut [T],
    pub bias: &'a mut [T],
}

impl Linear {
    /// Rows of a block.
    fn block(&self) -> usize {
        self.rows.div_ceil(BLOCKS).max(ROWS)
    }

    /// `y` from `x`.
    pub fn forward<T: Scratch>(&self, x: &[T], weight: &[T], bias: &[T], y: &mut [T]) {
        let Self { inputs, outputs, .. } = *self;
        if y.is_empty() {
            return;
        }
        let block = self.block();
        let blocks = y.par_chunks_mut(block * outputs).zip(x.par_chunks(block * inputs));
        blocks.for_each(|(y, x)| {
            let rows = y.len() / outputs;
            let (x, weight) = (Matrix::row_major(x, [rows, inputs]), Matrix::row_major(weight, [inputs, outputs]));
            matmul(x, weight, MatrixMut::row_major(y, [rows, outputs]), Write::Set);
            self.set.dispatch(Finish { y, bias, after: self.after });
        });
    }

    /// Gradients from that of `y`, and from `y` itself.
    pub fn backward<T: Scratch>(&self, x: &[T], weight: &[T], y: &[T], gradient: &[T], gradients: Gradients<'_, T>) {
        let Self { inputs, outputs, .. } = *self;
        let Gradients { x: mut of_x, weight: of_weight, bias: of_bias } = gradients;
        of_weight.fill(T::zero());
        of_bias.fill(T::zero());
        if y.is_empty() {
            return;
        }
        let block = self.block();
        let n_blocks = self.rows.div_ceil(block);
        let size = (inputs + 1) * outputs;
        // With rows of weights as columns a product reads both operands in order.
        let mut transposed = vec![T::zero(); weight.len()];
        self.set.dispatch(Transpose {
            x: weight,
            rows: inputs,
            columns: outputs,
            stride: outputs,
            out: &mut transposed,
        });
        let mut sums = vec![T::zero(); n_blocks * size];
        let none = || (0..n_blocks).map(|_| None).collect();
        let of_x: Vec<Option<&mut [T]>> =
            of_x.as_mut().map_or_else(none, |of_x| of_x.chunks_mut(block * inputs).map(Some).collect());
        let blocks = x.par_chunks(block * inputs).zip(y.par_chunks(block * outputs));
        let blocks = blocks.zip(gradient.par_chunks(block * outputs)).zip(of_x).zip(sums.par_chunks_mut(size));
        blocks.for_each(|((((x, y), gradient), of_x), sums)| {
            let rows = y.len() / outputs;
            let (of_weight, of_bias) = sums.split_at_mut(inputs * outputs);
            T::with_scratch(rows * outputs, |mut scratch| {
                let inner = cut(&mut scratch, rows * outputs);
                self.set.dispatch(Start { y, gradient, after: self.after, inner, of_bias });
                let inner = Matrix::row_major(inner, [rows, outputs]);
                let columns = Matrix::new(x, [inputs, rows], [1, inputs]);
                matmul(columns, inner, MatrixMut::row_major(of_weight, [inputs, outputs]), Write::Set);
                if let Some(of_x) = of_x {
                    let weight = Matrix::row_major(&transposed, [outputs, inputs]);
                    matmul(inner, weight, MatrixMut::row_major(of_x, [rows, inputs]), Write::Set);
                }
            });
        });
        for sums in sums.chunks_exact(size) {
            let (weight, bias) = sums.split_at(inputs * outputs);
            for (sum, &part) in of_weight.iter_mut().zip(weight).chain(of_bias.iter_mut().zip(bias)) {
                *sum += part;
            }
        }
    }
}

/// Bias and activation behind the products.
struct Finish<'a, T> {
    y: &'a mut [T],
    bias: &'a [T],
    after: After,
}

impl<T: Real> Kernel for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { y, bias, after } = self;
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, &bias) in row.iter_mut().zip(bias) {
                *y += bias;
            }
        }
        if after == After::Relu {
            for y in y {
                // Keeps NaN.
                *y = if *y < T::zero() { T::zero() } else { *y };
            }
        }
    }
}

/// The gradient in front of the activation, and its sum over the rows.
struct Start<'a, T> {
    y: &'a [T],
    gradient: &'a [T],
    after: After,
    inner: &'a mut [T],
    of_bias: &'a mut [T],
}

impl<T: Real> Kernel for Start<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { y, gradient, after, inner, of_bias } = self;
        match after {
            After::Nothing => inner.copy_from_slice(gradient),
            After::Relu => {
                for ((inner, &y), &gradient) in inner.iter_mut().zip(y).zip(gradient) {
                    *inner = if y <= T::zero() { T::zero() } else { gradient };
                }
            }
        }
        of_bias.fill(T::zero());
        for row in inner.chunks_exact(of_bias.len()) {
            for (sum, &inner) in of_bias.iter_mut().zip(row) {
                *sum += inner;
            }
        }
    }
}
