//! Where the numbers of a batch lie, and how a part of it is cut into tiles.

use std::ops::Range;

use crate::kernel::simd::{LANES, Lanes, Real};

/// Most chunks of [`LANES`] numbers in a tile. A tile's rows of parameters are read one after the
/// other, 8 KiB each in f32, a long way for the processor to read ahead, and the sums over them
/// stay in the first cache. In a large batch of 1536 numbers an example, whole rows take 71 ms,
/// pieces of 512 numbers 102 ms and pieces of 256 numbers 135 ms.
pub const TILE_CHUNKS: usize = 128;

/// Rows of parameters before the logits: log-scale and shift of the affine map.
const AFFINE_ROWS: usize = 2;

/// Numbers with their parameters.
///
/// Parameter `p` of number `i` of example `n` is `theta[n·theta_stride + p·row_stride + i]`; rows
/// are in the order `a`, `b`, logits, means, log-scales.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    /// Examples.
    pub n_examples: usize,
    /// Numbers of an example.
    pub n_dims: usize,
    /// Numbers: `x` forward and backward, `z` for the inverse.
    pub x: &'a [T],
    /// Distance between two examples in `x`.
    pub x_stride: usize,
    /// Parameters.
    pub theta: &'a [T],
    /// Distance between two examples in `theta`.
    pub theta_stride: usize,
    /// Distance between two rows of an example's parameters.
    pub row_stride: usize,
}

#[cfg(test)]
impl<'a, T> Batch<'a, T> {
    /// A batch without gaps.
    pub fn contiguous(
        n_examples: usize,
        n_dims: usize,
        n_components: usize,
        x: &'a [T],
        theta: &'a [T],
    ) -> Self {
        let theta_stride = n_rows(n_components) * n_dims;
        Self { n_examples, n_dims, x, x_stride: n_dims, theta, theta_stride, row_stride: n_dims }
    }
}

/// Part of a batch: some numbers of some examples. Outputs of a block have the shape
/// `[examples, dims]`.
#[derive(Debug, Clone)]
pub struct Block {
    /// Examples.
    pub examples: Range<usize>,
    /// Numbers of each.
    pub dims: Range<usize>,
}

impl Block {
    /// Numbers in the block.
    pub fn n_numbers(&self) -> usize {
        self.examples.len() * self.dims.len()
    }

    /// Cuts into pieces of whole chunks, `n_chunks` at most, and then the rests of the examples, as
    /// many of them together as a chunk takes.
    #[inline(always)]
    pub fn pieces(&self, n_chunks: usize) -> impl Iterator<Item = Piece> {
        let (examples, dims) = (self.examples.clone(), self.dims.clone());
        let rest = dims.len() % LANES;
        let whole = dims.end - rest;
        let mut next = (if dims.start < whole { examples.start } else { examples.end }, dims.start);
        let mut next_rest = if rest == 0 { examples.end } else { examples.start };
        std::iter::from_fn(move || {
            let (example, start) = next;
            let piece = if example < examples.end {
                let end = whole.min(start + n_chunks * LANES);
                next = if end < whole { (example, end) } else { (example + 1, dims.start) };
                Piece {
                    examples: example..example + 1,
                    dims: start..end,
                    output: 0,
                    width: dims.len(),
                }
            } else if next_rest < examples.end {
                let first = next_rest;
                next_rest = examples.end.min(first + LANES / rest);
                Piece {
                    examples: first..next_rest,
                    dims: whole..dims.end,
                    output: 0,
                    width: dims.len(),
                }
            } else {
                return None;
            };
            let output = (piece.examples.start - examples.start) * dims.len() + piece.dims.start
                - dims.start;
            Some(Piece { output, ..piece })
        })
    }
}

/// What a tile is made of: whole chunks of one example, or less than a chunk of each of some.
#[derive(Debug, Clone)]
pub struct Piece {
    examples: Range<usize>,
    dims: Range<usize>,
    output: usize,
    width: usize,
}

impl Piece {
    /// Whether it consists of whole chunks.
    #[inline(always)]
    pub fn is_whole(&self) -> bool {
        self.dims.len().is_multiple_of(LANES)
    }

    /// Numbers of each example.
    #[inline(always)]
    pub fn n_dims(&self) -> usize {
        self.dims.len()
    }

    /// Where an example's numbers begin in a block's output and in the tile.
    #[inline(always)]
    pub fn starts(&self) -> impl Iterator<Item = (usize, usize)> {
        let (n, output, width) = (self.dims.len(), self.output, self.width);
        (0..self.examples.len()).map(move |index| (output + index * width, index * n))
    }

    /// Copies the tile's numbers to a block's output.
    #[inline(always)]
    pub fn store<T: Copy>(&self, tile: &[T], output: &mut [T]) {
        for (to, from) in self.starts() {
            output[to..to + self.dims.len()].copy_from_slice(&tile[from..from + self.dims.len()]);
        }
    }

    /// Copies a block's numbers to a tile.
    #[inline(always)]
    pub fn fetch<T: Copy>(&self, numbers: &[T], tile: &mut [T]) {
        for (from, to) in self.starts() {
            tile[to..to + self.dims.len()].copy_from_slice(&numbers[from..from + self.dims.len()]);
        }
    }

    /// The tile: in place if it is whole, else in `packed`.
    #[inline(always)]
    pub fn tile<'a, T: Real>(
        &self,
        batch: &Batch<'a, T>,
        packed: &'a mut PackedChunk<T>,
    ) -> Tile<'a, T> {
        let n_components = packed.n_components;
        let n = self.dims.len();
        if self.is_whole() {
            let start = self.examples.start * batch.x_stride + self.dims.start;
            let offset = self.examples.start * batch.theta_stride + self.dims.start;
            let x = batch.x[start..start + n].as_chunks().0;
            return Tile {
                x,
                theta: batch.theta,
                offset,
                row_stride: batch.row_stride,
                n_components,
            };
        }
        for (index, example) in self.examples.clone().enumerate() {
            let lanes = index * n..(index + 1) * n;
            let start = example * batch.x_stride + self.dims.start;
            packed.x[0][lanes.clone()].copy_from_slice(&batch.x[start..start + n]);
            for (row, copy) in packed.theta.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let start = example * batch.theta_stride + row * batch.row_stride + self.dims.start;
                copy[lanes.clone()].copy_from_slice(&batch.theta[start..start + n]);
            }
        }
        Tile { x: &packed.x, theta: &packed.theta, offset: 0, row_stride: LANES, n_components }
    }
}

/// A chunk that numbers are copied to. Lanes that none is for keep zeros, or the numbers of a piece
/// before.
#[derive(Debug)]
pub struct PackedChunk<T> {
    x: [Lanes<T>; 1],
    theta: Vec<T>,
    n_components: usize,
}

impl<T: Real> PackedChunk<T> {
    /// Space for a mixture of that many components.
    pub fn new(n_components: usize) -> Self {
        Self {
            x: [[T::zero(); LANES]],
            theta: vec![T::zero(); n_rows(n_components) * LANES],
            n_components,
        }
    }
}

/// Chunks of numbers with their parameters.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a, T> {
    /// Numbers.
    pub x: &'a [Lanes<T>],
    theta: &'a [T],
    offset: usize,
    row_stride: usize,
    n_components: usize,
}

impl<'a, T: Real> Tile<'a, T> {
    #[inline(always)]
    fn row(&self, row: usize) -> &'a [Lanes<T>] {
        let start = row * self.row_stride + self.offset;
        self.theta[start..start + self.x.len() * LANES].as_chunks().0
    }

    /// `a`, whose tanh is the log-scale of the affine map, and the map's shift `b`.
    #[inline(always)]
    pub fn affine(&self) -> [&'a [Lanes<T>]; 2] {
        [self.row(0), self.row(1)]
    }

    /// Logit, mean and log-scale of a component.
    #[inline(always)]
    pub fn component(&self, index: usize) -> [&'a [Lanes<T>]; 3] {
        component_rows(index, self.n_components).map(|row| self.row(row))
    }
}

/// Rows of a component's logit, mean and log-scale.
#[inline(always)]
pub fn component_rows(index: usize, n_components: usize) -> [usize; 3] {
    [0, 1, 2].map(|kind| AFFINE_ROWS + kind * n_components + index)
}

/// Rows of parameters.
pub fn n_rows(n_components: usize) -> usize {
    AFFINE_ROWS + 3 * n_components
}
