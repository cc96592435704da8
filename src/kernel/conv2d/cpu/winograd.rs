//! 3x3 convolutions by Winograd's algorithm `F(2x2, 3x3)`.
//! ```text
//! y = Aᵀ[(G w Gᵀ)·(Bᵀ d B)]A                              a tile of 2x2 results from one of 4x4 pixels, summed over channels in between
//!
//! Bᵀ d = d₀ − d₂, d₁ + d₂, d₂ − d₁, d₁ − d₃               Aᵀ m = m₀ + m₁ + m₂, m₁ − m₂ − m₃
//! G w = w₀, (w₀ + w₁ + w₂)/2, (w₀ − w₁ + w₂)/2, w₂
//! ```
//! 16 multiplications give what 36 give directly; those of one place of a tile, over all channels and tiles, are a matrix product.
//!
//! # Numerics
//! `B` and `A` hold 0 and ±1: they amplify rounding little, and sums have fewer terms. Measured errors are those of direct sums.
//!
//! # Reference
//! Lavin & Gray 2016, "Fast algorithms for convolutional neural networks".

use std::ops::Range;

use super::PreActivation;
use super::packed::Out;
use super::unroll::Unroll;
use crate::kernel::concat_elu::cpu::EluPairs;
use crate::kernel::matmul::{Matrix, MatrixMut, Write, matmul};
use crate::kernel::scratch::cut;
use crate::kernel::simd::{Kernel, LANES, Lanes, MultiplyAdd, Real};

/// Places of a tile of 4x4.
const PLACES: usize = 16;
/// Channels that are transformed at once.
const CHANNELS: usize = 64;
/// Tiles that are transformed at once, about.
const TILES: usize = 128;

/// Transformed weights `[16][outputs][inputs]`.
pub struct Winograd<T> {
    weights: Vec<T>,
    inputs: usize,
    outputs: usize,
    images: Unroll,
}

impl<T: Real> Winograd<T> {
    /// From weights by row of the kernel, `[3][outputs][inputs·3]`.
    pub fn new(rows: &[T], inputs: usize, outputs: usize, images: Unroll) -> Self {
        let n = outputs * inputs;
        let mut weights = vec![T::zero(); PLACES * n];
        let half = T::of(0.5);
        let transform = |[a, b, c]: [T; 3]| [a, (a + b + c) * half, (a - b + c) * half, c];
        for pair in 0..n {
            let row = |r: usize| [0, 1, 2].map(|s| rows[(r * n + pair) * 3 + s]);
            let [first, second, third] = [row(0), row(1), row(2)].map(transform);
            for s in 0..4 {
                for (r, weight) in transform([first[s], second[s], third[s]]).into_iter().enumerate() {
                    weights[(4 * r + s) * n + pair] = weight;
                }
            }
        }
        Self { weights, inputs, outputs, images }
    }

    /// Most rows of [`Winograd::run`]: even.
    pub fn tile_rows(&self) -> usize {
        let (columns, rows) = (self.columns(), self.images.height.div_ceil(2));
        let most = (TILES / columns).clamp(1, rows);
        2 * rows.div_ceil(rows.div_ceil(most))
    }

    /// Columns of tiles.
    fn columns(&self) -> usize {
        self.images.width.div_ceil(2)
    }

    fn block(&self) -> usize {
        self.inputs.min(CHANNELS)
    }

    /// Tiles of so many rows, and room for a last vector: what is computed there is never read.
    fn tiles(&self, rows: usize) -> usize {
        (rows.div_ceil(2) * self.columns()).next_multiple_of(LANES)
    }

    /// Numbers of a plane that has one column of the tiles of so many rows.
    fn plane(&self, rows: usize) -> usize {
        self.tiles(rows) + self.columns()
    }

    /// Numbers that [`Winograd::run`] computes in.
    pub fn scratch(&self) -> usize {
        let rows = self.tile_rows();
        let transformed = PLACES * (self.block() + self.outputs) * self.tiles(rows);
        transformed + self.padded(rows) * (self.images.activation.factor() + 1) + 8 * self.plane(rows)
    }

    /// Numbers of a channel's rows with a row above, one below and an even width.
    fn padded(&self, rows: usize) -> usize {
        (2 * rows.div_ceil(2) + 2) * 2 * self.columns()
    }

    /// Some output channels of rows from an even one on, as for direct sums.
    pub fn run(&self, x: &[T], channels: Range<usize>, rows: Range<usize>, mut scratch: &mut [T], out: Out<'_, T>) {
        let Unroll { height, width, activation, set, .. } = self.images;
        let (tiles, columns, plane) = (self.tiles(rows.len()), self.columns(), self.plane(rows.len()));
        let (n, factor) = (channels.len(), activation.factor());
        let planes = cut(&mut scratch, 8 * plane);
        let padded = cut(&mut scratch, factor * self.padded(rows.len()));
        let halves = cut(&mut scratch, self.padded(rows.len()));
        let products = cut(&mut scratch, PLACES * n * tiles);
        let mut write = Write::Set;
        for start in (0..self.inputs).step_by(self.block()) {
            let depth = self.block().min(self.inputs - start);
            let step = depth * tiles;
            let transformed = &mut scratch[..PLACES * step];
            let images = x.chunks_exact(height * width).skip(start / factor).take(depth / factor);
            for (channel, image) in images.enumerate() {
                self.pad(image, rows.clone(), padded);
                for (part, padded) in padded.chunks_exact(self.padded(rows.len())).enumerate() {
                    let out = &mut transformed[(channel * factor + part) * tiles..];
                    set.dispatch(Places { padded, halves, planes, plane, columns, out, step, tiles });
                }
            }
            for place in 0..PLACES {
                let weights = &self.weights[(place * self.outputs + channels.start) * self.inputs + start..];
                let weights = Matrix::new(weights, [n, depth], [self.inputs, 1]);
                let tile = Matrix::row_major(&transformed[place * step..], [depth, tiles]);
                let product = MatrixMut::row_major(&mut products[place * n * tiles..], [n, tiles]);
                matmul(weights, tile, product, write);
            }
            write = Write::Add;
        }
        for (channel, y) in out.data.chunks_mut(out.stride).take(n).enumerate() {
            let (y, products) = (&mut y[..rows.len() * width], &products[channel * tiles..]);
            let (planes, step) = (&mut planes[..8 * tiles], n * tiles);
            set.dispatch(Results { products, step, tiles, columns, planes, width, y });
        }
    }

    /// Copies a channel's rows from the one above `rows` on, activated, with zeros outside of the image; two copies behind an activation that
    /// makes two channels of one.
    fn pad(&self, image: &[T], rows: Range<usize>, padded: &mut [T]) {
        let Unroll { height, width, activation, set, .. } = self.images;
        let pitch = 2 * self.columns();
        let (first, last) = (rows.start.saturating_sub(1), (rows.end + 2).min(height));
        // The row above the first one is there unless it is outside.
        let above = usize::from(rows.start == 0) * pitch;
        let half = padded.len() / activation.factor();
        let room = half / pitch * pitch - above;
        let x = &image[first * width..last.min(first + room / pitch) * width];
        let end = above + x.len() / width * pitch;
        for padded in padded.chunks_exact_mut(half) {
            padded[..above].fill(T::zero());
            padded[end..].fill(T::zero());
        }
        let chunks = x.chunks_exact(if width == pitch { x.len().max(1) } else { width });
        for (row, x) in chunks.enumerate() {
            let start = above + row * pitch;
            match activation {
                PreActivation::Identity => padded[start..start + x.len()].copy_from_slice(x),
                PreActivation::ConcatElu => {
                    let (positive, negative) = padded.split_at_mut(half);
                    let within = start..start + x.len();
                    let (positive, negative) = (&mut positive[within.clone()], &mut negative[within]);
                    set.dispatch(EluPairs { x, positive, negative });
                }
            }
            if width < pitch {
                for padded in padded.chunks_exact_mut(half) {
                    padded[start + width] = T::zero();
                }
            }
        }
    }
}

/// Copies rows of `width` numbers that lie apart.
#[inline(always)]
fn copy_rows<T: Copy>(from: (&[T], usize), to: (&mut [T], usize), width: usize, rows: usize) {
    match width {
        4 => copy_rows_of::<T, 4>(from, to, rows),
        8 => copy_rows_of::<T, 8>(from, to, rows),
        16 => copy_rows_of::<T, 16>(from, to, rows),
        32 => copy_rows_of::<T, 32>(from, to, rows),
        _ => {
            for row in 0..rows {
                to.0[row * to.1..][..width].copy_from_slice(&from.0[row * from.1..][..width]);
            }
        }
    }
}

/// A copy of known width is a few instructions, not a call.
#[inline(always)]
fn copy_rows_of<T: Copy, const WIDTH: usize>(from: (&[T], usize), to: (&mut [T], usize), rows: usize) {
    for row in 0..rows {
        to.0[row * to.1..][..WIDTH].copy_from_slice(&from.0[row * from.1..][..WIDTH]);
    }
}

/// `Bᵀ d B` of the tiles of a channel.
struct Places<'a, T> {
    /// Rows of `2·columns` numbers, from the one above the first tile's results on.
    padded: &'a [T],
    /// Room for as many.
    halves: &'a mut [T],
    /// Room for 8 planes: for even and for odd rows, those of the four columns of the tiles.
    planes: &'a mut [T],
    plane: usize,
    columns: usize,
    /// Starts at the channel; its places are `step` apart.
    out: &'a mut [T],
    step: usize,
    tiles: usize,
}

impl<T: Real> Kernel for Places<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { padded, halves, planes, plane, columns, out, step, tiles } = self;
        let (even_columns, odd_columns) = halves.split_at_mut(padded.len() / 2);
        let pairs = padded.as_chunks::<2>().0.iter();
        for ((&pair, even), odd) in pairs.zip(&mut *even_columns).zip(&mut *odd_columns) {
            [*even, *odd] = pair;
        }
        let rows = padded.len() / (4 * columns);
        let used = rows * columns;
        for (parity, planes) in planes.chunks_exact_mut(4 * plane).enumerate() {
            let (left, rest) = planes.split_at_mut(plane);
            let (centre, rest) = rest.split_at_mut(plane);
            let (right, beyond) = rest.split_at_mut(plane);
            let from = parity * columns;
            copy_rows((&even_columns[from..], 2 * columns), (centre, columns), columns, rows);
            copy_rows((&odd_columns[from..], 2 * columns), (right, columns), columns, rows);
            left[1..used].copy_from_slice(&right[..used - 1]);
            beyond[..used - 1].copy_from_slice(&centre[1..used]);
            for row in 0..rows {
                left[row * columns] = T::zero();
                beyond[row * columns + columns - 1] = T::zero();
            }
        }
        for start in (0..tiles).step_by(LANES) {
            let mut half = [[[T::zero(); LANES]; 4]; 4];
            for (r, half) in half.iter_mut().enumerate() {
                let mut d = [[T::zero(); LANES]; 4];
                for (s, d) in d.iter_mut().enumerate() {
                    let row = (r % 2 * 4 + s) * plane + r / 2 * columns;
                    d.copy_from_slice(&planes[row + start..][..LANES]);
                }
                *half = combine(&d);
            }
            for s in 0..4 {
                let places = combine(&[half[0][s], half[1][s], half[2][s], half[3][s]]);
                for (r, place) in places.iter().enumerate() {
                    out[(4 * r + s) * step + start..][..LANES].copy_from_slice(place);
                }
            }
        }
    }
}

/// `Bᵀ d`.
#[inline(always)]
fn combine<T: Real>(d: &[Lanes<T>; 4]) -> [Lanes<T>; 4] {
    let mut out = [[T::zero(); LANES]; 4];
    for lane in 0..LANES {
        out[0][lane] = d[0][lane] - d[2][lane];
        out[1][lane] = d[1][lane] + d[2][lane];
        out[2][lane] = d[2][lane] - d[1][lane];
        out[3][lane] = d[1][lane] - d[3][lane];
    }
    out
}

/// `Aᵀ m A` of the tiles of a channel.
struct Results<'a, T> {
    /// Starts at the channel; its places are `step` apart.
    products: &'a [T],
    step: usize,
    tiles: usize,
    columns: usize,
    /// Room for 8 planes of the tiles.
    planes: &'a mut [T],
    width: usize,
    /// The channel's rows.
    y: &'a mut [T],
}

impl<T: Real> Kernel for Results<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { products, step, tiles, columns, planes, width, y } = self;
        let (results, rows) = planes.split_at_mut(4 * tiles);
        for start in (0..tiles).step_by(LANES) {
            let mut half = [[[T::zero(); LANES]; 4]; 2];
            for s in 0..4 {
                let mut m = [[T::zero(); LANES]; 4];
                for (r, m) in m.iter_mut().enumerate() {
                    m.copy_from_slice(&products[(4 * r + s) * step + start..][..LANES]);
                }
                [half[0][s], half[1][s]] = reduce(&m);
            }
            for (r, half) in half.iter().enumerate() {
                for (s, y) in reduce(half).iter().enumerate() {
                    results[(2 * r + s) * tiles + start..][..LANES].copy_from_slice(y);
                }
            }
        }
        let n = y.len() / width;
        for (parity, results) in results.chunks_exact(2 * tiles).enumerate() {
            let (even, odd) = results.split_at(tiles);
            for ((pair, &even), &odd) in rows.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
                *pair = [even, odd];
            }
            // The last row, and the last number of a row, may lie outside of the image.
            if parity < n {
                let to = &mut y[parity * width..];
                copy_rows((rows, 2 * columns), (to, 2 * width), width, (n - parity).div_ceil(2));
            }
        }
    }
}

/// `Aᵀ m`.
#[inline(always)]
fn reduce<T: Real>(m: &[Lanes<T>; 4]) -> [Lanes<T>; 2] {
    let mut out = [[T::zero(); LANES]; 2];
    for lane in 0..LANES {
        out[0][lane] = m[0][lane] + (m[1][lane] + m[2][lane]);
        out[1][lane] = (m[1][lane] - m[2][lane]) - m[3][lane];
    }
    out
}
