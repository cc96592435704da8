//! Convolution of one example with weights in the order of the products.

use std::ops::Range;

use super::unroll::Unroll;
use super::{Conv2d, ConvShape, PreActivation};
use crate::kernel::cpu::matmul::{Matrix, MatrixMut, Write, matmul};
use crate::kernel::cpu::simd::Real;
use crate::kernel::cpu::transpose::Transpose;

/// Channels that are unrolled at once, counted before the activation doubles them.
const CHANNELS: usize = 64;
/// Approximate number of pixels of a tile.
const PIXELS: usize = 512;
/// Weights `[kh][outputs][inputs·kw]`: a matrix for each row of the kernel. The inputs are in the
/// order of [`PreActivation::channel`].
pub struct PackedWeights<T> {
    weights: Vec<T>,
    inputs: usize,
    outputs: usize,
    unroll: Unroll,
}

impl<T: Real> PackedWeights<T> {
    /// The weights of the convolution itself.
    pub fn forward(conv: &Conv2d, w: &[T]) -> Self {
        let ConvShape { inputs, outputs, kernel: [kh, kw], .. } = conv.shape;
        let (mut weights, stride) = (vec![T::zero(); conv.own_weights()], conv.weight_stride());
        for (r, weights) in weights.chunks_exact_mut(outputs * inputs * kw).enumerate() {
            for (o, weights) in weights.chunks_exact_mut(inputs * kw).enumerate() {
                for (place, weights) in weights.chunks_exact_mut(kw).enumerate() {
                    let c = conv.stages.before.channel(place, inputs);
                    copy_row(&w[o * stride + (c * kh + r) * kw..][..kw], weights);
                }
            }
        }
        Self { weights, inputs, outputs, unroll: conv.unroll(conv.stages.before) }
    }

    /// The weights of the convolution that computes the gradient of the inputs from that of the
    /// outputs: transposed and mirrored. The channels of the result are in the order of
    /// [`PreActivation::channel`].
    pub fn backward(conv: &Conv2d, w: &[T]) -> Self {
        let ConvShape { inputs, outputs, kernel: [kh, kw], .. } = conv.shape;
        let (mut weights, stride) = (vec![T::zero(); conv.own_weights()], conv.weight_stride());
        let unroll = conv.unroll(PreActivation::Identity);
        if unroll.is_copy() && conv.stages.before == PreActivation::Identity {
            conv.set.dispatch(Transpose {
                x: w,
                rows: outputs,
                columns: inputs,
                stride,
                out: &mut weights,
            });
            return Self { weights, inputs: outputs, outputs: inputs, unroll };
        }
        for (r, weights) in weights.chunks_exact_mut(outputs * inputs * kw).enumerate() {
            for (place, weights) in weights.chunks_exact_mut(outputs * kw).enumerate() {
                let c = conv.stages.before.channel(place, inputs);
                for (o, weights) in weights.chunks_exact_mut(kw).enumerate() {
                    let mirrored = &w[o * stride + (c * kh + kh - 1 - r) * kw..][..kw];
                    copy_row(mirrored, weights);
                    weights.reverse();
                }
            }
        }
        Self { weights, inputs: outputs, outputs: inputs, unroll }
    }

    /// Number of scratch elements that [`PackedWeights::run`] uses.
    pub fn scratch(&self) -> usize {
        self.unroll.scratch(self.inputs)
    }

    /// Most rows in one call of [`PackedWeights::run`].
    pub fn tile_rows(&self) -> usize {
        tile_rows(self.unroll.height, self.unroll.width)
    }

    /// Computes some output channels of a tile's rows. `out` has a row of `stride` elements for
    /// each channel.
    pub fn run(
        &self,
        x: &[T],
        channels: Range<usize>,
        rows: Range<usize>,
        scratch: &mut [T],
        out: Out<'_, T>,
    ) {
        let Unroll { width, kernel: [kh, kw], .. } = self.unroll;
        let (n, pixels) = (channels.len(), rows.len() * width);
        let mut write = Write::Set;
        for block in self.unroll.blocks(self.inputs) {
            let unrolled = self.unroll.block(x, block.clone(), rows.clone(), scratch);
            let depth = block.len() * kw;
            for r in 0..kh {
                let weights = &self.weights
                    [(r * self.outputs + channels.start) * self.inputs * kw + block.start * kw..];
                let weights = Matrix::new(weights, [n, depth], [self.inputs * kw, 1]);
                let met =
                    Matrix::new(&unrolled.data[r * width..], [depth, pixels], [unrolled.stride, 1]);
                let out = MatrixMut::new(&mut *out.data, [n, pixels], [out.stride, 1]);
                matmul(weights, met, out, write);
                write = Write::Add;
            }
        }
    }
}

/// Copies a row of a kernel. If the length is a constant, the copy is a few instructions, not a
/// call.
#[inline]
pub fn copy_row<T: Copy>(from: &[T], to: &mut [T]) {
    if let (Some(from), Some(to)) = (from.as_array::<3>(), to.as_mut_array::<3>()) {
        *to = *from;
    } else if let ([from], [to]) = (from, &mut *to) {
        *to = *from;
    } else {
        to.copy_from_slice(from);
    }
}

/// The slice for a result.
pub struct Out<'a, T> {
    pub data: &'a mut [T],
    pub stride: usize,
}

/// Unrolled channels: a row of `stride` elements for each channel and column of the kernel.
pub struct Unrolled<'a, T> {
    pub data: &'a [T],
    pub stride: usize,
}

impl Conv2d {
    pub(super) fn unroll(&self, activation: PreActivation) -> Unroll {
        let ConvShape { height, width, kernel, .. } = self.shape;
        Unroll { height, width, kernel, activation, set: self.set }
    }

    /// The rows of an image in tiles of at most `rows` rows.
    pub(super) fn tiles(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let height = self.shape.height;
        (0..height).step_by(rows).map(move |start| start..(start + rows).min(height))
    }
}

/// Most rows of a tile of about [`PIXELS`] pixels.
pub fn tile_rows(height: usize, width: usize) -> usize {
    let tiles = (height * width).div_ceil(PIXELS).clamp(1, height.max(1));
    height.div_ceil(tiles).max(1)
}

impl Unroll {
    /// Whether the unrolled image is the image itself.
    fn is_copy(&self) -> bool {
        self.kernel == [1, 1] && self.activation == PreActivation::Identity
    }

    /// Number of places of the largest of [`Unroll::blocks`].
    pub fn widest_block(&self, inputs: usize) -> usize {
        if self.is_copy() { inputs } else { inputs.min(CHANNELS * self.activation.factor()) }
    }

    /// Number of elements that [`Unroll::block`] writes, for a convolution with `inputs` inputs.
    pub fn scratch(&self, inputs: usize) -> usize {
        if self.is_copy() {
            return 0;
        }
        self.widest_block(inputs) * self.kernel[1] * self.plane(tile_rows(self.height, self.width))
    }

    /// The unrolled order in blocks of places.
    pub fn blocks(&self, inputs: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let size = self.widest_block(inputs).max(1);
        (0..inputs).step_by(size).map(move |start| start..(start + size).min(inputs))
    }

    /// Unrolls a block of an example, for the output rows `rows`.
    pub fn block<'a, T: Real>(
        &self,
        x: &'a [T],
        block: Range<usize>,
        rows: Range<usize>,
        scratch: &'a mut [T],
    ) -> Unrolled<'a, T> {
        let (image, factor) = (self.height * self.width, self.activation.factor());
        let x = &x[block.start / factor * image..block.end / factor * image];
        if self.is_copy() {
            return Unrolled { data: &x[rows.start * self.width..], stride: image };
        }
        let stride = self.plane(rows.len());
        let out = &mut scratch[..block.len() * self.kernel[1] * stride];
        self.run(x, rows, out);
        Unrolled { data: out, stride }
    }
}
