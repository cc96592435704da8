//! Layers as matrix products.

use super::blocks::{Gradients, Linear, Tape, of_blocks};
use crate::kernel::cpu::matmul::{Matrix, MatrixMut, Write, matmul};
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::{Kernel, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{
    IndexedParallelIterator, ParallelSlice, ParallelSliceMut, for_each,
};
use crate::kernel::cpu::transpose::Transpose;
use crate::kernel::epilogue::Epilogue;

/// `y` from `x`.
pub fn forward<T: Scratch>(linear: &Linear, x: &[T], weight: &[T], bias: &[T], y: &mut [T]) {
    let Linear { inputs, outputs, epilogue, set, .. } = *linear;
    let (block, [cost, _]) = (linear.block(), linear.costs());
    let blocks = y.par_chunks_mut(block * outputs).zip(x.par_chunks(block * inputs));
    for_each(blocks, cost.times(block), |(y, x)| {
        let rows = y.len() / outputs;
        let (x, weight) =
            (Matrix::row_major(x, [rows, inputs]), Matrix::row_major(weight, [inputs, outputs]));
        matmul(x, weight, MatrixMut::row_major(y, [rows, outputs]), Write::Set);
        set.dispatch(BiasAndEpilogue { y, bias, epilogue });
    });
}

/// Gradients; those of the weights and of the bias are added to the contents of their slices.
pub fn backward<T: Scratch>(linear: &Linear, tape: Tape<'_, T>, gradients: Gradients<'_, T>) {
    let Linear { rows, inputs, outputs, epilogue, set } = *linear;
    let Tape { x, weight, y, gradient } = tape;
    let (block, [_, cost]) = (linear.block(), linear.costs());
    let n_blocks = rows.div_ceil(block);
    let size = (inputs + 1) * outputs;
    // With the weights transposed, the product reads both operands in order.
    let mut transposed = vec![T::zero(); weight.len()];
    set.dispatch(Transpose {
        x: weight,
        rows: inputs,
        columns: outputs,
        stride: outputs,
        out: &mut transposed,
    });
    let mut sums = vec![T::zero(); n_blocks * size];
    let of_x = of_blocks(gradients.x, block * inputs, n_blocks);
    let blocks = x.par_chunks(block * inputs).zip(y.par_chunks(block * outputs));
    let blocks =
        blocks.zip(gradient.par_chunks(block * outputs)).zip(of_x).zip(sums.par_chunks_mut(size));
    for_each(blocks, cost.times(block), |((((x, y), gradient), of_x), sums)| {
        let rows = y.len() / outputs;
        let (of_weight, of_bias) = sums.split_at_mut(inputs * outputs);
        T::with_scratch(rows * outputs, |mut scratch| {
            let inner = cut(&mut scratch, rows * outputs);
            set.dispatch(EpilogueGradient { y, gradient, epilogue, inner, of_bias });
            let inner = Matrix::row_major(inner, [rows, outputs]);
            let columns = Matrix::new(x, [inputs, rows], [1, inputs]);
            matmul(columns, inner, MatrixMut::row_major(of_weight, [inputs, outputs]), Write::Set);
            if !of_x.is_empty() {
                let weight = Matrix::row_major(&transposed, [outputs, inputs]);
                matmul(inner, weight, MatrixMut::row_major(of_x, [rows, inputs]), Write::Set);
            }
        });
    });
    for sums in sums.chunks_exact(size) {
        let (weight, bias) = sums.split_at(inputs * outputs);
        for (sum, &part) in
            gradients.weight.iter_mut().zip(weight).chain(gradients.bias.iter_mut().zip(bias))
        {
            *sum += part;
        }
    }
}

/// Adds the bias to products and applies the epilogue. If products were added to the bias instead,
/// the order of rounding would depend on the number of rows.
struct BiasAndEpilogue<'a, T> {
    y: &'a mut [T],
    bias: &'a [T],
    epilogue: Epilogue,
}

impl<T: Real> Kernel for BiasAndEpilogue<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { y, bias, epilogue } = self;
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, &bias) in row.iter_mut().zip(bias) {
                *y += bias;
            }
        }
        if epilogue == Epilogue::Relu {
            for y in y {
                // Keeps NaN.
                *y = if *y < T::zero() { T::zero() } else { *y };
            }
        }
    }
}

/// The gradient of the input of the epilogue, and its sum over the rows.
struct EpilogueGradient<'a, T> {
    y: &'a [T],
    gradient: &'a [T],
    epilogue: Epilogue,
    inner: &'a mut [T],
    of_bias: &'a mut [T],
}

impl<T: Real> Kernel for EpilogueGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { y, gradient, epilogue, inner, of_bias } = self;
        match epilogue {
            Epilogue::Nothing => inner.copy_from_slice(gradient),
            Epilogue::Relu => {
                for ((inner, &y), &gradient) in inner.iter_mut().zip(y).zip(gradient) {
                    *inner = if y <= T::zero() { T::zero() } else { gradient };
                }
            }
        }
        for row in inner.chunks_exact(of_bias.len()) {
            for (sum, &inner) in of_bias.iter_mut().zip(row) {
                *sum += inner;
            }
        }
    }
}
