//! Convolution with stride 1, "same" padding, an activation before it and a ReLU after it.
//! ```text
//! y[b, o, p] = f(Σ_{c, d} w[o, c, d]·v[b, c, p + d] + bias[o])
//!
//! v = x or concat_elu(x), 0 outside of the image       f(h) = h or max(h, 0)
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x` | images | `[B, C, H, W]`, or `[B, C/2, H, W]` before [`PreActivation::ConcatElu`] |
//! | `w` | weights, both sides odd | `[O, C, kh, kw]`, or `[O, C + 1, kh, kw]` with [`Border::Channel`] |
//! | `bias` | added to the sums | `[O]` |
//! | `y` | result | `[B, O, H, W]` |
//! | `gy` | gradient of `y` | `[B, O, H, W]` |
//!
//! # Algorithm
//! The columns of the kernel are unrolled, its rows are not: every channel is copied once for each
//! column, shifted by it, with zero rows above and below. Then the pixels that a row of the kernel
//! covers are one contiguous run of that copy, so for each row of the kernel the convolution is a
//! matrix product of depth `C·kw` that reads the copy in place. For a 3x3 kernel, the copies are a
//! third of those of an unrolling of both rows and columns. The activation is applied during the
//! copy and is never stored. 1x1 kernels without an activation read `x` itself. 3x3 kernels between
//! some tens of channels, or a dozen for small images, use Winograd's algorithm instead, forward
//! and for both gradients: it takes 4/9 of the multiplications.
//!
//! The contribution of the border channel is the same for every example: a bias for each pixel,
//! which is computed once. Bias and ReLU are applied to results while they are in the cache.
//!
//! The gradient of `x` is the convolution of `gy` with the mirrored, transposed weights, computed
//! in the same ways. The gradient of `w` is a product of the unrolled `v`, which is recomputed, and
//! `gy`, of depth `H·W`.
//!
//! # Cost
//! `2·B·O·C·kh·kw·H·W` operations for the forward pass and for each of the two gradients, fewer
//! with Winograd's algorithm. A thread holds a tile of an image: `64·kw` channels and about 512
//! pixels. With Winograd's algorithm it holds 16 elements for each channel on both sides and each
//! of 32 to about 128 tiles of 2x2 pixels, and for the gradient of the weights 16 sums for each
//! pair of channels.
//!
//! # Numerics
//! Results do not depend on the number of threads: sums over the batch are taken in blocks that
//! depend only on the shape, and the blocks are added in order. `y` and the gradient of `x` do not
//! depend on the other examples of a batch. In float32, errors are 3e-7 to 7e-7 of the largest
//! element, with Winograd's algorithm as with direct sums.
//!
//! Relative to the sum of the absolute terms of a single result, the two algorithms differ where
//! one pixel is far larger than its neighbours. Direct sums of `n` terms have an error of about
//! `ε`, and less than `√n·ε`, since roundings of both signs partly cancel. Winograd's algorithm
//! multiplies sums of weights by sums of pixels, so each pixel of a window is combined with all
//! nine weights of its channel and not only with its own: see `winograd/mod.rs`.

mod backward;
mod bias_and_epilogue;
mod border;
mod forward;
mod packed_weights;
mod unroll;
mod weight_gradient;
mod winograd;

pub use backward::Gradients;
pub use bias_and_epilogue::mask;

use super::{Border, ConvStages, PreActivation};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::tasks::Cost;

/// Of a multiplication of direct sums, by matrix products and by Winograd's algorithm, and of an
/// element of an image before and after: by `k.conv2d` of `benches/kernel/cost.rs`.
const PRODUCT: Cost = Cost::picoseconds(20);
const WINOGRAD: Cost = Cost::picoseconds(13);
const ELEMENT: Cost = Cost::picoseconds(400);

/// Adding an element to a sum, by `k.channel_affine.of_parameters` of `benches/kernel/cost.rs`,
/// which adds two.
const SUMMING: Cost = Cost::picoseconds(80);

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Number of examples `B`.
    pub batch: usize,
    /// Number of channels `C` that the weights take: after the activation, without the border
    /// channel.
    pub inputs: usize,
    /// Number of channels `O`.
    pub outputs: usize,
    /// Rows `H`.
    pub height: usize,
    /// Columns `W`.
    pub width: usize,
    /// Sides `[kh, kw]` of the kernel, odd.
    pub kernel: [usize; 2],
}

/// A convolution. The module has the formulas.
#[derive(Debug, Clone, Copy)]
pub struct Conv2d {
    shape: ConvShape,
    stages: ConvStages,
    set: InstructionSet,
}

impl Conv2d {
    /// The convolution.
    ///
    /// # Panics
    /// If a side of the kernel is even, or the number of inputs after [`PreActivation::ConcatElu`]
    /// is odd.
    pub fn new(shape: ConvShape, stages: ConvStages, set: InstructionSet) -> Self {
        let [kh, kw] = shape.kernel;
        assert!(kh % 2 == 1 && kw % 2 == 1, "conv2d: kernel {:?} has an even side", shape.kernel);
        let odd = stages.before == PreActivation::ConcatElu && shape.inputs % 2 == 1;
        assert!(!odd, "conv2d: {} inputs do not come from concat_elu", shape.inputs);
        Self { shape, stages, set }
    }

    fn pixels(&self) -> usize {
        self.shape.height * self.shape.width
    }

    /// Number of elements of an example of `x`.
    fn example_length(&self) -> usize {
        self.shape.inputs / self.stages.before.factor() * self.pixels()
    }

    /// Number of weights of an output, including those of the border channel.
    fn weight_stride(&self) -> usize {
        let [kh, kw] = self.shape.kernel;
        (self.shape.inputs + self.stages.border.channels()) * kh * kw
    }

    /// Number of weights without those of the border channel.
    fn own_weights(&self) -> usize {
        let [kh, kw] = self.shape.kernel;
        self.shape.outputs * self.shape.inputs * kh * kw
    }

    /// Of the forward pass of an example, of the gradient of its `x`, or of what it adds to the
    /// gradient of the weights.
    pub fn cost(&self) -> Cost {
        let ConvShape { inputs, outputs, .. } = self.shape;
        let sum = if self.suits_winograd() { WINOGRAD } else { PRODUCT };
        let images = ELEMENT.times(inputs + outputs);
        sum.times(self.own_weights()).plus(images).times(self.pixels())
    }

    /// Whether there is nothing to sum or nothing to write.
    fn is_empty(&self) -> bool {
        self.shape.batch * self.example_length() == 0 || self.shape.outputs == 0
    }

    fn check(&self, x: usize, w: usize, y: usize) {
        let ConvShape { batch, outputs, .. } = self.shape;
        assert_eq!(x, batch * self.example_length(), "conv2d: length of x for {:?}", self.shape);
        assert_eq!(
            w,
            outputs * self.weight_stride(),
            "conv2d: length of the weights for {:?}",
            self.shape
        );
        assert_eq!(y, batch * outputs * self.pixels(), "conv2d: length of y for {:?}", self.shape);
    }
}

impl PreActivation {
    /// The channel at a place of the unrolled order. This order keeps `elu(x)` and `elu(−x)` of a
    /// channel together, so a block of channels of `x` is a block of the order.
    fn channel(self, place: usize, channels: usize) -> usize {
        match self {
            Self::Identity => place,
            Self::ConcatElu => place / 2 + place % 2 * (channels / 2),
        }
    }
}
