//! The layout of a batch, and how a part of it is cut into tiles.

use std::ops::Range;

use crate::kernel::cpu::simd::{LANES, Lanes, Real};

/// Most chunks of [`LANES`] elements in a tile. A tile's rows of parameters are read one after the
/// other, 8 KiB each in f32: they are long enough for the processor to prefetch, and the sums over
/// them stay in the first-level cache. In a large batch of 1536 elements per example, whole rows
/// take 71 ms, pieces of 512 elements 102 ms and pieces of 256 elements 135 ms.
pub const TILE_CHUNKS: usize = 128;

/// Rows of parameters before the logits: log-scale and shift of the affine map.
const AFFINE_ROWS: usize = 2;

/// Elements with their parameters.
///
/// Parameter `p` of element `i` of example `n` is `theta[n·theta_stride + p·row_stride + i]`. The
/// rows are in the order `a`, `b`, logits, means, log-scales.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    /// Number of examples.
    pub n_examples: usize,
    /// Number of elements of an example.
    pub n_dims: usize,
    /// The elements: `x` in the forward and backward pass, `z` in the inverse.
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

/// Part of a batch: some elements of some examples. Outputs of a block have the shape
/// `[examples, dims]`.
#[derive(Debug, Clone)]
pub struct Block {
    /// Examples.
    pub examples: Range<usize>,
    /// Elements of each example.
    pub dims: Range<usize>,
}

impl Block {
    /// Number of elements in the block.
    pub fn n_elements(&self) -> usize {
        self.examples.len() * self.dims.len()
    }

    /// Cuts the block into pieces of whole chunks, at most `n_chunks` each. Then follow the
    /// remainders of the examples, as many of them together as fit into a chunk.
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

/// The elements of a tile: whole chunks of one example, or less than a chunk of each of several
/// examples.
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

    /// Number of elements of each example.
    #[inline(always)]
    pub fn n_dims(&self) -> usize {
        self.dims.len()
    }

    /// The index of the first element of each example in a block's output and in the tile.
    #[inline(always)]
    pub fn starts(&self) -> impl Iterator<Item = (usize, usize)> {
        let (n, output, width) = (self.dims.len(), self.output, self.width);
        (0..self.examples.len()).map(move |index| (output + index * width, index * n))
    }

    /// Copies the elements of the tile to a block's output.
    #[inline(always)]
    pub fn store<T: Copy>(&self, tile: &[T], output: &mut [T]) {
        for (to, from) in self.starts() {
            output[to..to + self.dims.len()].copy_from_slice(&tile[from..from + self.dims.len()]);
        }
    }

    /// Copies the elements of a block to a tile.
    #[inline(always)]
    pub fn fetch<T: Copy>(&self, elements: &[T], tile: &mut [T]) {
        for (from, to) in self.starts() {
            tile[to..to + self.dims.len()].copy_from_slice(&elements[from..from + self.dims.len()]);
        }
    }

    /// The tile: in place if it consists of whole chunks, otherwise in `packed`.
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

/// A chunk to which elements are copied. Unused lanes keep zeros, or the elements of an earlier
/// piece.
#[derive(Debug)]
pub struct PackedChunk<T> {
    x: [Lanes<T>; 1],
    theta: Vec<T>,
    n_components: usize,
}

impl<T: Real> PackedChunk<T> {
    /// Memory for a mixture of `n_components` components.
    pub fn new(n_components: usize) -> Self {
        Self {
            x: [[T::zero(); LANES]],
            theta: vec![T::zero(); n_rows(n_components) * LANES],
            n_components,
        }
    }
}

/// Chunks of elements with their parameters.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a, T> {
    /// The elements.
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

/// Indices of the rows of a component's logit, mean and log-scale.
#[inline(always)]
pub fn component_rows(index: usize, n_components: usize) -> [usize; 3] {
    [0, 1, 2].map(|kind| AFFINE_ROWS + kind * n_components + index)
}

/// Number of rows of parameters.
pub fn n_rows(n_components: usize) -> usize {
    AFFINE_ROWS + 3 * n_components
}
