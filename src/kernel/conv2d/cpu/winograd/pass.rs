//! Forward pass and gradient of the input: the same convolution, with the weights in one order or
//! the other.

use super::PLACES;
use super::grid::{Chunk, Grid};
use super::layout::{Channels, FromPixels, ToPixels, step};
use super::load::{Load, Places};
use super::tiles::{Layout, ToResults};
use super::weights::{Kernels, transform};
use crate::kernel::concat_elu::cpu::ApplySlopes;
use crate::kernel::conv2d::cpu::bias_and_epilogue::Bias;
use crate::kernel::conv2d::cpu::{Conv2d, ConvShape};
use crate::kernel::cpu::matmul::{Matrix, MatrixMut, Write, matmul};
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::tasks::{Cost, IntoParallelIterator, for_each};
use crate::kernel::epilogue::Epilogue;

/// Approximate number of pixels of a strip of results.
const STRIP: usize = 64;

/// A convolution between channels.
struct Pass<'a, T> {
    set: InstructionSet,
    grid: Grid,
    from: Channels,
    to: Channels,
    /// Places of the weights, `[16][from][to]`.
    weights: &'a [T],
    /// The bias of pixels, `[P][pitch]`.
    bias: Bias<'a, T>,
    epilogue: Epilogue,
    /// The inputs of the activation before the convolution, if the gradient passes through it.
    slopes: Option<&'a [T]>,
}

impl Conv2d {
    pub(in super::super) fn winograd_forward<T: Scratch>(
        &self,
        x: &[T],
        w: &[T],
        bias: Bias<'_, T>,
        y: &mut [T],
    ) {
        let ConvShape { inputs, outputs, .. } = self.shape;
        let kernels = Kernels {
            rows: inputs,
            columns: outputs,
            strides: [9, self.weight_stride()],
            mirrored: false,
        };
        self.winograd(w, kernels, [self.met(), self.made()], |weights| {
            let pass = Pass {
                set: self.set,
                grid: self.grid(),
                from: self.met(),
                to: self.made(),
                weights,
                bias,
                epilogue: self.stages.epilogue,
                slopes: None,
            };
            pass.run(x, y, self.shape.batch, self.cost());
        });
    }

    pub(in super::super) fn winograd_input_gradient<T: Scratch>(
        &self,
        x: &[T],
        w: &[T],
        gy: &[T],
        gx: &mut [T],
    ) {
        let ConvShape { inputs, outputs, .. } = self.shape;
        let kernels = Kernels {
            rows: outputs,
            columns: inputs,
            strides: [self.weight_stride(), 9],
            mirrored: true,
        };
        self.winograd(w, kernels, [self.made(), self.met()], |weights| {
            let slopes = (self.met().parts == 2).then_some(x);
            let pass = Pass {
                set: self.set,
                grid: self.grid(),
                from: self.made(),
                to: self.met(),
                weights,
                bias: Bias::Nothing,
                epilogue: Epilogue::Nothing,
                slopes,
            };
            pass.run(gy, gx, self.shape.batch, self.cost());
        });
    }

    fn winograd<T: Scratch>(
        &self,
        w: &[T],
        kernels: Kernels,
        [from, to]: [Channels; 2],
        work: impl FnOnce(&[T]),
    ) {
        let stride = to.stride();
        T::with_scratch(PLACES * step(from.total() * stride), |places| {
            transform(self.set, w, kernels, stride, places);
            work(places);
        });
    }
}

impl<T: Scratch> Pass<'_, T> {
    fn run(&self, x: &[T], y: &mut [T], batch: usize, example: Cost) {
        let tasks = self.grid.cut(y, batch);
        let cost = example.times(batch).part(tasks.len());
        for_each(tasks.into_par_iter(), cost, |(chunk, mut y)| {
            T::with_scratch(self.scratch(), |scratch| self.chunk(x, &chunk, &mut y, scratch));
        });
    }

    fn scratch(&self) -> usize {
        let tiles = self.grid.most_tiles();
        let strip = 4 * 2 * strip(&self.grid) * self.grid.width * self.to.pitch();
        let pixels = Load::scratch(&self.grid, self.from).max(strip);
        PLACES * (step(tiles * self.from.stride()) + step(tiles * self.to.stride())) + pixels
    }

    fn chunk(&self, x: &[T], chunk: &Chunk, y: &mut [&mut [T]], mut scratch: &mut [T]) {
        let Self { set, grid, from, to, .. } = *self;
        let per_image = grid.tiles(chunk);
        let tiles = chunk.images.len() * per_image;
        let (of_met, of_made) = (step(tiles * from.stride()), step(tiles * to.stride()));
        let met = cut(&mut scratch, PLACES * of_met);
        let made = cut(&mut scratch, PLACES * of_made);
        let image = from.n * grid.pixels();
        for (index, x) in
            x.chunks_exact(image).skip(chunk.images.start).take(chunk.images.len()).enumerate()
        {
            let places =
                Places { elements: &mut met[index * per_image * from.stride()..], step: of_met };
            Load { set, grid, channels: from, chunk }.run(x, places, scratch);
        }
        for place in 0..PLACES {
            // Whole vectors of columns: products with fewer columns pack their operands.
            let (n, depth) = (to.stride(), from.total());
            let met = Matrix::new(&met[place * of_met..], [tiles, depth], [from.stride(), 1]);
            let weights = Matrix::new(&self.weights[place * step(depth * n)..], [depth, n], [n, 1]);
            let made = MatrixMut::new(&mut made[place * of_made..], [tiles, n], [n, 1]);
            matmul(met, weights, made, Write::Set);
        }
        for (index, y) in y.chunks_exact_mut(to.n).enumerate() {
            let image = chunk.images.start + index;
            let places =
                Places { elements: &made[index * per_image * to.stride()..], step: of_made };
            self.store(places, chunk, image, y, scratch);
        }
    }

    /// Writes the results of an image of a chunk, some rows at a time, so that they are still in
    /// the first-level cache when they are transposed.
    fn store(
        &self,
        places: Places<&[T]>,
        chunk: &Chunk,
        image: usize,
        y: &mut [&mut [T]],
        mut scratch: &mut [T],
    ) {
        let Self { set, grid, to, bias, epilogue, .. } = *self;
        let (pitch, stride, step) = (to.pitch(), to.stride(), places.step);
        let strip = strip(&grid);
        let size = 2 * strip * grid.width * pitch;
        let (parts, seen, gx) =
            (cut(&mut scratch, to.parts * size), cut(&mut scratch, size), cut(&mut scratch, size));
        for first in chunk.rows.clone().step_by(strip) {
            let strip = Chunk {
                images: chunk.images.clone(),
                rows: first..(first + strip).min(chunk.rows.end),
            };
            let rows = grid.rows(&strip);
            let pixels = rows.len() * grid.width;
            let start = (rows.start - 2 * chunk.rows.start) * grid.width;
            let size = pixels * pitch;
            let layout = Layout {
                height: grid.height,
                width: grid.width,
                first: rows.start,
                pitch,
                stride,
                step,
            };
            for (part, image) in parts[..to.parts * size].chunks_exact_mut(size).enumerate() {
                let tile = (first - chunk.rows.start) * grid.columns();
                let places = &places.elements[tile * stride + part * to.n..];
                set.dispatch(ToResults {
                    layout,
                    places,
                    bias,
                    epilogue,
                    rows: strip.rows.clone(),
                    image,
                });
            }
            let Some(x) = self.slopes else {
                set.dispatch(FromPixels { x: &parts[..size], pitch, start, out: y });
                continue;
            };
            let x = &x[image * to.n * grid.pixels() + rows.start * grid.width..];
            let (seen, gx) = (&mut seen[..size], &mut gx[..size]);
            set.dispatch(ToPixels {
                x,
                stride: grid.pixels(),
                channels: to.n,
                pixels,
                out: seen,
                pitch,
            });
            let (positive, negative) = parts[..2 * size].split_at(size);
            set.dispatch(ApplySlopes { x: seen, positive, negative, gx });
            set.dispatch(FromPixels { x: gx, pitch, start, out: y });
        }
    }
}

/// Number of rows of tiles that are finished at once.
fn strip(grid: &Grid) -> usize {
    (STRIP / (2 * grid.width)).max(1)
}
