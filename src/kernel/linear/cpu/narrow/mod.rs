//! Layers with few inputs or few outputs: rows of the wide side are read and written once, whereas
//! matrix products would pack them first.
//!
//! A wide row is `W` elements in chunks of [`LANES`]. The weights are stored as `N` wide rows,
//! padded to whole chunks.
//! ```text
//! few inputs      y_r  = b + Σ_k x_rk w_k       ∂w_k = Σ_r x_rk g_r       ∂x_rk = g_r·w_k
//! few outputs     y_rk = b_k + x_r·w_k          ∂w_k = Σ_r g_rk x_r       ∂x_r  = Σ_k g_rk w_k
//! ```

mod kernels;

use super::blocks::{Gradients, Linear, NARROW, Tape, of_blocks};
use crate::kernel::cpu::remainder::load;
use crate::kernel::cpu::simd::{LANES, Lanes, Real};
use crate::kernel::cpu::tasks::{
    IndexedParallelIterator, ParallelSlice, ParallelSliceMut, for_each,
};
use crate::kernel::cpu::transpose::Transpose;
use kernels::{Narrow, NarrowBackward, Widen, WidenBackward};

/// Runs a kernel for this number of elements in a narrow row.
macro_rules! by_number {
    ($set:expr, $n:expr, $kernel:ident $fields:tt) => {
        match $n {
            1 => $set.dispatch(by_number!(@ $kernel, 1, $fields)),
            2 => $set.dispatch(by_number!(@ $kernel, 2, $fields)),
            3 => $set.dispatch(by_number!(@ $kernel, 3, $fields)),
            4 => $set.dispatch(by_number!(@ $kernel, 4, $fields)),
            n => unreachable!("a narrow row has 1 to {NARROW} elements, not {n}"),
        }
    };
    (@ $kernel:ident, $n:literal, { $($field:ident),* }) => {
        $kernel::<_, $n> { $($field),* }
    };
}

/// Whether the inputs are the narrow side.
fn widens(linear: &Linear) -> bool {
    linear.inputs <= linear.outputs
}

/// The weights as rows of the wide side.
fn wide_rows<T: Real>(linear: &Linear, weight: &[T]) -> Vec<Lanes<T>> {
    let Linear { inputs, outputs, set, .. } = *linear;
    if widens(linear) {
        return padded(weight, outputs);
    }
    let mut transposed = vec![T::zero(); weight.len()];
    set.dispatch(Transpose {
        x: weight,
        rows: inputs,
        columns: outputs,
        stride: outputs,
        out: &mut transposed,
    });
    padded(&transposed, inputs)
}

/// Rows of `width` elements as chunks.
fn padded<T: Real>(rows: &[T], width: usize) -> Vec<Lanes<T>> {
    rows.chunks_exact(width).flat_map(|row| row.chunks(LANES)).map(load).collect()
}

/// `y` from `x`.
pub fn forward<T: Real>(linear: &Linear, x: &[T], weight: &[T], bias: &[T], y: &mut [T]) {
    let Linear { inputs, outputs, epilogue, set, .. } = *linear;
    let weight = &wide_rows(linear, weight)[..];
    let (block, [cost, _]) = (linear.block(), linear.costs());
    let blocks = y.par_chunks_mut(block * outputs).zip(x.par_chunks(block * inputs));
    for_each(blocks, cost.times(block), |(y, x)| {
        if widens(linear) {
            by_number!(set, inputs, Widen { x, weight, bias, epilogue, y });
        } else {
            by_number!(set, outputs, Narrow { x, inputs, weight, bias, epilogue, y });
        }
    });
}

/// Gradients; those of the weights and of the bias are added to the contents of their slices.
pub fn backward<T: Real>(linear: &Linear, tape: Tape<'_, T>, gradients: Gradients<'_, T>) {
    let Linear { rows, inputs, outputs, epilogue, set } = *linear;
    let Tape { x, weight, y, gradient } = tape;
    let weight = &wide_rows(linear, weight)[..];
    let (block, [_, cost]) = (linear.block(), linear.costs());
    let n_blocks = rows.div_ceil(block);
    // The rows of weights are followed by one for the bias. If the outputs are the narrow side, its
    // first elements hold the bias.
    let chunks = inputs.max(outputs).div_ceil(LANES);
    let size = weight.len() + chunks;
    let mut sums = vec![[T::zero(); LANES]; n_blocks * size];
    let of_x = of_blocks(gradients.x, block * inputs, n_blocks);
    let blocks = x.par_chunks(block * inputs).zip(y.par_chunks(block * outputs));
    let blocks =
        blocks.zip(gradient.par_chunks(block * outputs)).zip(of_x).zip(sums.par_chunks_mut(size));
    for_each(blocks, cost.times(block), |((((x, y), gradient), of_x), sums)| {
        let (sums, of_bias) = sums.split_at_mut(weight.len());
        if widens(linear) {
            by_number!(
                set,
                inputs,
                WidenBackward { x, weight, outputs, epilogue, y, gradient, of_x, sums, of_bias }
            );
        } else {
            let of_bias = of_bias.as_flattened_mut();
            by_number!(
                set,
                outputs,
                NarrowBackward { x, inputs, weight, epilogue, y, gradient, of_x, sums, of_bias }
            );
        }
    });
    for sums in sums.chunks_exact(size) {
        let (of_rows, of_bias) = sums.split_at(weight.len());
        for (sum, &part) in gradients.bias.iter_mut().zip(of_bias.as_flattened()) {
            *sum += part;
        }
        for (k, row) in of_rows.chunks_exact(chunks).enumerate() {
            let row = row.as_flattened();
            if widens(linear) {
                for (sum, &part) in gradients.weight[k * outputs..][..outputs].iter_mut().zip(row) {
                    *sum += part;
                }
            } else {
                for (input, &part) in row[..inputs].iter().enumerate() {
                    gradients.weight[input * outputs + k] += part;
                }
            }
        }
    }
}
