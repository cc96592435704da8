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
//! | `bias` | | `[O]` |
//! | `y` | | `[B, O, H, W]` |
//!
//! # Algorithm
//! The columns of the kernel are unrolled, its rows are not: every channel is copied once for each
//! column, shifted by it, with zero rows above and below. Then the pixels that a row of the kernel
//! meets are one contiguous run of that copy, so the convolution is a matrix product of depth
//! `C·kw` for each row, read in place. The copies are a third of those of an unrolling of both for
//! a 3x3 kernel; the activation is applied while copying and is never stored. 1x1 kernels without
//! activation read `x` itself. 3x3 kernels between some tens of channels, or a dozen for small
//! images, go through Winograd's algorithm instead, which has 4/9 of the multiplications: forward
//! and for both gradients.
//!
//! What the border channel adds is the same for every example: a bias of each pixel, computed once.
//! Bias and ReLU are applied to results that are in the cache.
//!
//! The gradient of `x` is the convolution of `gy` with the mirrored, transposed weights, computed
//! in the same ways; that of `w` is a product of the unrolled `v`, which is computed anew, and
//! `gy`, of depth `H·W`.
//!
//! # Cost
//! `2·B·O·C·kh·kw·H·W` operations forward and for each of the two gradients, less with Winograd's
//! algorithm. A thread holds a tile of an image: `64·kw` channels and about 512 pixels, or 16
//! numbers for each channel of both sides and 32 to about 128 tiles of 2x2 pixels, and for the
//! gradient of the weights 16 sums for each pair of channels.
//!
//! # Numerics
//! Results do not depend on the number of threads: sums over the batch are taken in blocks fixed by
//! the shape, added in order. `y` and the gradient of `x` do not depend on the other examples of a
//! batch. In float32, errors are 3e-7 to 7e-7 of the largest number, with Winograd's algorithm as
//! with direct sums.
//!
//! Relative to the sum of the absolute terms of a single result, the two algorithms differ where
//! one pixel is far larger than its neighbours. Direct sums of `n` terms have an error of about `ε`
//! and less than `√n·ε`, since roundings of both signs partly cancel. Winograd's algorithm
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
use crate::kernel::simd::InstructionSet;

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Examples `B`.
    pub batch: usize,
    /// Channels `C` that the weights meet: after the activation, and without the border channel.
    pub inputs: usize,
    /// Channels `O`.
    pub outputs: usize,
    /// Rows `H`.
    pub height: usize,
    /// Columns `W`.
    pub width: usize,
    /// Sides `[kh, kw]` of the kernel, odd.
    pub kernel: [usize; 2],
}

/// Convolution. The formulas head this module.
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
    /// If a side of the kernel is even, or the inputs are odd in number after
    /// [`PreActivation::ConcatElu`].
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

    /// Numbers of an example of `x`.
    fn example_length(&self) -> usize {
        self.shape.inputs / self.stages.before.factor() * self.pixels()
    }

    /// Weights of an output, those of the border channel included.
    fn weight_stride(&self) -> usize {
        let [kh, kw] = self.shape.kernel;
        (self.shape.inputs + self.stages.border.channels()) * kh * kw
    }

    /// All weights but those of the border channel.
    fn own_weights(&self) -> usize {
        let [kh, kw] = self.shape.kernel;
        self.shape.outputs * self.shape.inputs * kh * kw
    }

    /// Operations of an example, forward.
    fn operations(&self) -> usize {
        2 * self.own_weights() * self.pixels()
    }

    /// Whether there is anything to sum or to write.
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
    /// The channel at a place of the unrolled order, which keeps `elu(x)` and `elu(−x)` of a
    /// channel together, so that a block of channels of `x` is a block of the order.
    fn channel(self, place: usize, channels: usize) -> usize {
        match self {
            Self::Identity => place,
            Self::ConcatElu => place / 2 + place % 2 * (channels / 2),
        }
    }
}
