//! Transforms weights to places.

use super::PLACES;
use super::layout::step;
use super::transform::of_weights;
use crate::kernel::cpu::simd::{InstructionSet, Kernel, LANES, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, IntoParallelIterator};
use crate::kernel::cpu::tasks::{for_each, items_per_task};

/// Of a kernel, by `k.conv2d.weights` of `benches/kernel/cost.rs`.
const KERNEL: Cost = Cost::picoseconds(6_000);

/// The layout of the kernels of a matrix of channels: `[rows][columns]`, 9 elements each.
#[derive(Debug, Clone, Copy)]
pub struct Kernels {
    pub rows: usize,
    pub columns: usize,
    /// Elements from a kernel to that of the next row and to that of the next column.
    pub strides: [usize; 2],
    /// Whether they are rotated by 180 degrees.
    pub mirrored: bool,
}

/// `G w Gᵀ`, `[16][rows][stride]`.
pub fn transform<T: Real>(
    set: InstructionSet,
    w: &[T],
    kernels: Kernels,
    stride: usize,
    places: &mut [T],
) {
    let Kernels { rows, columns, .. } = kernels;
    let row = KERNEL.times(columns);
    let together = items_per_task(row).min(rows);
    let mut tasks: Vec<Vec<&mut [T]>> =
        (0..rows.div_ceil(together)).map(|_| Vec::with_capacity(PLACES)).collect();
    for place in places.chunks_exact_mut(step(rows * stride)).take(PLACES) {
        let parts = place[..rows * stride].chunks_mut(together * stride);
        for (task, rows) in tasks.iter_mut().zip(parts) {
            task.push(rows);
        }
    }
    for_each(tasks.into_par_iter().enumerate(), row.times(together), |(index, mut places)| {
        let first = index * together;
        set.dispatch(OfWeights { w, kernels, first, stride, places: &mut places });
    });
}

struct OfWeights<'a, 'b, T> {
    w: &'a [T],
    kernels: Kernels,
    first: usize,
    stride: usize,
    /// Some rows of each place.
    places: &'a mut [&'b mut [T]],
}

impl<T: Real> Kernel for OfWeights<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { w, kernels, first, stride, places } = self;
        let Kernels { columns, strides: [down, right], mirrored, .. } = kernels;
        let rows = places[0].len() / stride;
        for row in 0..rows {
            for column in (0..columns).step_by(LANES) {
                let mut taps = [[T::zero(); LANES]; 9];
                for lane in 0..LANES.min(columns - column) {
                    let from = (first + row) * down + (column + lane) * right;
                    let kernel: &[T; 9] = w[from..].first_chunk().expect("nine weights");
                    for (taps, &weight) in taps.iter_mut().zip(kernel) {
                        taps[lane] = weight;
                    }
                }
                let mut half = [[[T::zero(); LANES]; 4]; 3];
                for (half, taps) in half.iter_mut().zip(taps.as_chunks::<3>().0) {
                    *half = of_weights(taps);
                }
                for s in 0..4 {
                    for (r, place) in
                        of_weights(&[half[0][s], half[1][s], half[2][s]]).iter().enumerate()
                    {
                        // The rotation swaps the ends and keeps the sum.
                        let turned = [3, 1, 2, 0];
                        let at = if mirrored { 4 * turned[r] + turned[s] } else { 4 * r + s };
                        places[at][row * stride + column..][..LANES].copy_from_slice(place);
                    }
                }
            }
        }
    }
}
