//! Gradient of the weights.

use super::PLACES;
use super::grid::{Chunk, Grid};
use super::layout::{Channels, ToPixels, step};
use super::load::{Load, Places};
use super::tiles::{Layout, OfResults};
use super::transform::to_weights;
use crate::kernel::conv2d::cpu::Conv2d;
use crate::kernel::cpu::matmul::{Matrix, MatrixMut, Write, matmul};
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::{InstructionSet, Kernel, LANES, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{IndexedParallelIterator, ParallelSliceMut};
use crate::kernel::cpu::tasks::{SUM, for_each, items_per_sum, pieces};

/// Fewest channels of a split: products of fewer rows are slow.
const SPLIT: usize = 16;

impl Conv2d {
    /// Overwrites `gw`. The batch is summed in blocks that depend only on the shape, and the blocks
    /// are added in order.
    pub(in super::super) fn winograd_weight_gradient<T: Scratch>(
        &self,
        x: &[T],
        gy: &[T],
        gw: &mut [T],
    ) {
        let batch = self.shape.batch;
        let (grid, met, made) = (self.grid(), self.met(), self.made());
        let chunks = grid.chunks(batch);
        let cost = self.cost().times(batch);
        let together = items_per_sum(chunks.len(), cost.part(chunks.len()), self.own_weights());
        let blocks: Vec<&[Chunk]> = chunks.chunks(together).collect();
        // Channels of a task, counted before the activation.
        let split = met.n.div_ceil(pieces(blocks.len())).max(SPLIT).min(met.n);
        let splits = met.n.div_ceil(split);
        let size = 9 * split * met.parts * made.stride();
        T::with_scratch(blocks.len() * splits * size, |sums| {
            let tasks = sums.par_chunks_exact_mut(size).enumerate();
            for_each(tasks, cost.part(blocks.len() * splits), |(index, sums)| {
                let first = index % splits * split;
                let met = Channels { n: split.min(met.n - first), parts: met.parts };
                let block = Block { set: self.set, grid, met, made, channels: self.met().n, first };
                T::with_scratch(block.scratch(), |scratch| {
                    let (places, scratch) = scratch.split_at_mut(block.places());
                    for (turn, chunk) in blocks[index / splits].iter().enumerate() {
                        block.add(
                            x,
                            gy,
                            chunk,
                            if turn == 0 { Write::Set } else { Write::Add },
                            places,
                            scratch,
                        );
                    }
                    self.set.dispatch(ToWeights {
                        places,
                        rows: block.met.total(),
                        stride: made.stride(),
                        sums,
                    });
                });
            });
            let sums = Sums { sums, size, splits, split, channels: met };
            let stride = self.weight_stride();
            let cost = SUM.times(blocks.len() * LANES * 9 * met.total());
            for_each(gw.par_chunks_mut(LANES * stride).enumerate(), cost, |(index, gw)| {
                self.set.dispatch(Total { sums, index, gw, stride });
            });
        });
    }
}

/// Some channels of `v` and all of `y`.
struct Block {
    set: InstructionSet,
    grid: Grid,
    met: Channels,
    made: Channels,
    /// Number of channels of `x`, and the first channel of the block.
    channels: usize,
    first: usize,
}

impl Block {
    /// Number of elements of the sums for all places.
    fn places(&self) -> usize {
        PLACES * step(self.met.total() * self.made.stride())
    }

    fn scratch(&self) -> usize {
        let tiles = self.grid.most_tiles();
        let pixels =
            Load::scratch(&self.grid, self.met).max(self.grid.most_pixels() * self.made.pitch());
        PLACES * (step(tiles * self.met.stride()) + step(tiles * self.made.stride()))
            + pixels
            + self.places()
    }

    /// Adds the products of a chunk to the sums, `[16][channels of v][stride]`.
    fn add<T: Scratch>(
        &self,
        x: &[T],
        gy: &[T],
        chunk: &Chunk,
        write: Write,
        sums: &mut [T],
        mut scratch: &mut [T],
    ) {
        let Self { set, grid, met, made, channels, first } = *self;
        let per_image = grid.tiles(chunk);
        let tiles = chunk.images.len() * per_image;
        let (met_step, made_step) = (step(tiles * met.stride()), step(tiles * made.stride()));
        let of_x = cut(&mut scratch, PLACES * met_step);
        let of_y = cut(&mut scratch, PLACES * made_step);
        let rows = grid.rows(chunk);
        for (index, image) in chunk.images.clone().enumerate() {
            let x = &x[(image * channels + first) * grid.pixels()..][..met.n * grid.pixels()];
            let places =
                Places { elements: &mut of_x[index * per_image * met.stride()..], step: met_step };
            Load { set, grid, channels: met, chunk }.run(x, places, scratch);
            let gy = &gy[image * made.n * grid.pixels()..][..made.n * grid.pixels()];
            let (x, pixels, pitch) =
                (&gy[rows.start * grid.width..], rows.len() * grid.width, made.pitch());
            set.dispatch(ToPixels {
                x,
                stride: grid.pixels(),
                channels: made.n,
                pixels,
                out: scratch,
                pitch,
            });
            let (stride, step) = (made.stride(), made_step);
            let layout = Layout {
                height: grid.height,
                width: grid.width,
                first: rows.start,
                pitch,
                stride,
                step,
            };
            let places = &mut of_y[index * per_image * stride..];
            set.dispatch(OfResults { layout, image: scratch, rows: chunk.rows.clone(), places });
        }
        for place in 0..PLACES {
            let (rows, columns) = (met.total(), made.stride());
            let of_x = Matrix::new(&of_x[place * met_step..], [rows, tiles], [1, met.stride()]);
            let of_y =
                Matrix::new(&of_y[place * made_step..], [tiles, columns], [made.stride(), 1]);
            let sums = MatrixMut::new(
                &mut sums[place * step(rows * made.stride())..],
                [rows, columns],
                [made.stride(), 1],
            );
            matmul(of_x, of_y, sums, write);
        }
    }
}

/// `Gᵀ m G` of sums, `[16][rows][stride]` to `[stride / 16][rows][9][16]`, the order in which they
/// are added to those of other blocks.
struct ToWeights<'a, T> {
    places: &'a [T],
    rows: usize,
    stride: usize,
    sums: &'a mut [T],
}

impl<T: Real> Kernel for ToWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { places, rows, stride, sums } = self;
        let apart = step(rows * stride);
        for (index, sums) in
            sums.as_chunks_mut::<LANES>().0.as_chunks_mut::<9>().0.iter_mut().enumerate()
        {
            let (column, row) = (index / rows * LANES, index % rows);
            if column >= stride {
                break;
            }
            let mut half = [[[T::zero(); LANES]; 4]; 3];
            for s in 0..4 {
                let mut m = [[T::zero(); LANES]; 4];
                for (r, m) in m.iter_mut().enumerate() {
                    m.copy_from_slice(
                        &places[(4 * r + s) * apart + row * stride + column..][..LANES],
                    );
                }
                [half[0][s], half[1][s], half[2][s]] = to_weights(&m);
            }
            for (half, sums) in half.iter().zip(sums.as_chunks_mut::<3>().0) {
                *sums = to_weights(half);
            }
        }
    }
}

/// The sums of the tasks, `size` elements each; those of the splits of a block are contiguous.
#[derive(Debug, Clone, Copy)]
struct Sums<'a, T> {
    sums: &'a [T],
    size: usize,
    splits: usize,
    split: usize,
    channels: Channels,
}

/// Adds the sums of all blocks, for a vector of outputs.
struct Total<'a, T> {
    sums: Sums<'a, T>,
    /// Index of the vector.
    index: usize,
    /// `[outputs][stride]`, of which `[inputs][9]` are written.
    gw: &'a mut [T],
    /// Elements from an output to the next.
    stride: usize,
}

impl<T: Real> Kernel for Total<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self {
            sums: Sums { sums, size, splits, split, channels: Channels { n, parts } },
            index,
            gw,
            stride,
        } = self;
        let inputs = n * parts;
        for c in 0..inputs {
            let (part, channel) = (c / n, c % n);
            let (task, within) = (channel / split, channel % split);
            let width = split.min(n - task * split);
            let at = (index * width * parts + part * width + within) * 9 * LANES;
            let mut total = [[T::zero(); LANES]; 9];
            for sums in sums[task * size..].chunks(splits * size) {
                let sums = sums[at..][..9 * LANES].as_chunks::<LANES>().0;
                for (total, sum) in total.iter_mut().zip(sums) {
                    for lane in 0..LANES {
                        total[lane] += sum[lane];
                    }
                }
            }
            for (lane, gw) in gw.chunks_exact_mut(stride).enumerate() {
                for (gw, total) in gw[c * 9..][..9].iter_mut().zip(&total) {
                    *gw = total[lane];
                }
            }
        }
    }
}
