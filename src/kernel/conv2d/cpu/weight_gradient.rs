//! Gradient of the weights.
//! ```text
//! gw[o, c, r, s] = Σ_{b, p} gy[b, o, p]·u[b, c, s, p + r·W]        u: the unrolled input
//! ```
//! A matrix product reads one of its operands pixel by pixel: that one is transposed.

use super::packed_weights::{Unrolled, copy_row, tile_rows};
use super::{Conv2d, ConvShape};
use crate::kernel::cpu::matmul::{Matrix, MatrixMut, Write, matmul};
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::LANES;
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{SUM, for_each, items_per_sum, items_per_task};
use crate::kernel::cpu::transpose::Transpose;

/// Of a sum that is put in the order of the weights, by `k.conv2d.unpack` of
/// `benches/kernel/cost.rs`.
const UNPACK: Cost = Cost::picoseconds(1_600);

/// Time of the transposition of an element, in multiply-adds of a product.
const TRANSPOSITION: usize = 20;

/// Which operand is transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transposed {
    /// The gradient: the sums are `[kh][C·kw][O]`.
    Gradient,
    /// The unrolled input: the sums are `[kh][O][C·kw]`.
    Input,
}

impl Conv2d {
    /// The cheaper of the two, by the cost of a pixel in multiply-adds of a product.
    fn transposed(&self) -> Transposed {
        let ConvShape { inputs, outputs, kernel: [kh, kw], .. } = self.shape;
        // Products round their columns up to vectors, and to at least two vectors.
        let rounded = |columns: usize| columns.next_multiple_of(16).max(32);
        let depth = inputs * kw;
        let gradient = kh * depth * rounded(outputs) + TRANSPOSITION * outputs;
        let input = kh * outputs * rounded(depth) + TRANSPOSITION * depth;
        if input < gradient { Transposed::Input } else { Transposed::Gradient }
    }

    /// Overwrites `gw`. The batch is summed in blocks that depend only on the shape, and the blocks
    /// are added in order.
    pub(super) fn weight_gradient<T: Scratch>(&self, x: &[T], gy: &[T], gw: &mut [T]) {
        let ConvShape { batch, outputs, .. } = self.shape;
        let pixels = self.pixels();
        let size = self.own_weights();
        let examples = items_per_sum(batch, self.cost(), size);
        let blocks = batch.div_ceil(examples);
        T::with_scratch(blocks * size, |sums| {
            let xs = x.par_chunks(examples * self.example_length());
            let gys = gy.par_chunks(examples * outputs * pixels);
            let tasks = sums.par_chunks_mut(size).zip(xs).zip(gys);
            for_each(tasks, self.cost().times(examples), |((sum, x), gy)| {
                sum.fill(T::zero());
                match self.transposed() {
                    Transposed::Gradient => self.add_examples(x, gy, sum),
                    Transposed::Input => self.add_examples_by_pixel(x, gy, sum),
                }
            });
            let (total, rest) = sums.split_at_mut(size);
            let cost = SUM.times(blocks - 1);
            let n = items_per_task(cost);
            for_each(total.par_chunks_mut(n).enumerate(), cost.times(n), |(index, total)| {
                for sum in rest.chunks_exact(size) {
                    for (total, &sum) in total.iter_mut().zip(&sum[index * n..]) {
                        *total += sum;
                    }
                }
            });
            self.unpack(total, gw);
        });
    }

    /// Adds the gradients of some examples to `sum`, `[kh][C·kw][O]`.
    fn add_examples<T: Scratch>(&self, x: &[T], gy: &[T], sum: &mut [T]) {
        let ConvShape { inputs, outputs, height, width, kernel: [kh, kw], .. } = self.shape;
        let unroll = self.unroll(self.stages.before);
        let length = outputs * tile_rows(height, width) * width;
        T::with_scratch(length + unroll.scratch(inputs), |mut scratch| {
            let transposed = cut(&mut scratch, length);
            let examples =
                x.chunks_exact(self.example_length()).zip(gy.chunks_exact(outputs * self.pixels()));
            for (x, gy) in examples {
                for rows in self.tiles(tile_rows(height, width)) {
                    let (gy, stride, columns) =
                        (&gy[rows.start * width..], self.pixels(), rows.len() * width);
                    self.set.dispatch(Transpose {
                        x: gy,
                        rows: outputs,
                        columns,
                        stride,
                        out: transposed,
                    });
                    let gy = Matrix::row_major(transposed, [columns, outputs]);
                    for block in unroll.blocks(inputs) {
                        let Unrolled { data, stride } =
                            unroll.block(x, block.clone(), rows.clone(), scratch);
                        let depth = block.len() * kw;
                        for r in 0..kh {
                            let met =
                                Matrix::new(&data[r * width..], [depth, columns], [stride, 1]);
                            let sum = &mut sum[(r * inputs + block.start) * kw * outputs..];
                            matmul(
                                met,
                                gy,
                                MatrixMut::row_major(sum, [depth, outputs]),
                                Write::Add,
                            );
                        }
                    }
                }
            }
        });
    }

    /// Adds the gradients of some examples to `sum`, `[kh][O][C·kw]`.
    fn add_examples_by_pixel<T: Scratch>(&self, x: &[T], gy: &[T], sum: &mut [T]) {
        let ConvShape { inputs, outputs, height, width, kernel: [kh, kw], .. } = self.shape;
        let unroll = self.unroll(self.stages.before);
        let length = unroll.widest_block(inputs) * kw * unroll.plane(tile_rows(height, width));
        T::with_scratch(length + unroll.scratch(inputs), |mut scratch| {
            let transposed = cut(&mut scratch, length);
            let examples =
                x.chunks_exact(self.example_length()).zip(gy.chunks_exact(outputs * self.pixels()));
            for (x, gy) in examples {
                for rows in self.tiles(tile_rows(height, width)) {
                    let pixels = rows.len() * width;
                    let gy = Matrix::new(
                        &gy[rows.start * width..],
                        [outputs, pixels],
                        [self.pixels(), 1],
                    );
                    for block in unroll.blocks(inputs) {
                        let Unrolled { data, stride } =
                            unroll.block(x, block.clone(), rows.clone(), scratch);
                        let (depth, columns) = (block.len() * kw, unroll.plane(rows.len()));
                        self.set.dispatch(Transpose {
                            x: data,
                            rows: depth,
                            columns,
                            stride,
                            out: transposed,
                        });
                        for r in 0..kh {
                            let met = Matrix::row_major(
                                &transposed[r * width * depth..],
                                [pixels, depth],
                            );
                            let sum = &mut sum[r * inputs * kw * outputs + block.start * kw..];
                            matmul(
                                gy,
                                met,
                                MatrixMut::new(sum, [outputs, depth], [inputs * kw, 1]),
                                Write::Add,
                            );
                        }
                    }
                }
            }
        });
    }

    /// Copies sums into the order of the weights.
    fn unpack<T: Scratch>(&self, sums: &[T], gw: &mut [T]) {
        let ConvShape { inputs, outputs, kernel: [kh, kw], .. } = self.shape;
        let (depth, stride) = (inputs * kw, self.weight_stride());
        let cost = UNPACK.times(LANES * kh * depth);
        for_each(gw.par_chunks_mut(LANES * stride).enumerate(), cost, |(index, gw)| {
            let (first, n) = (index * LANES, gw.len() / stride);
            T::with_scratch(n * depth, |scratch| {
                for (r, sum) in sums.chunks_exact(depth * outputs).enumerate() {
                    let sum = match self.transposed() {
                        Transposed::Input => &sum[first * depth..][..n * depth],
                        Transposed::Gradient => {
                            let (x, rows, columns) = (&sum[first..], depth, n);
                            self.set.dispatch(Transpose {
                                x,
                                rows,
                                columns,
                                stride: outputs,
                                out: scratch,
                            });
                            &*scratch
                        }
                    };
                    for (gw, sum) in gw.chunks_exact_mut(stride).zip(sum.chunks_exact(depth)) {
                        for (place, sum) in sum.chunks_exact(kw).enumerate() {
                            let c = self.stages.before.channel(place, inputs);
                            copy_row(sum, &mut gw[(c * kh + r) * kw..][..kw]);
                        }
                    }
                }
            });
        });
    }
}
