//! How the latents of several scales fill the shape of the image: the packing described in
//! [`super`].

use burn::tensor::Tensor;

use crate::bijector::Direction;
use crate::error::ShapeError;

/// The layer, in errors.
pub(super) const LAYER: &str = "MultiScale";

/// The shapes at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bijector) struct Scale {
    /// Input shape.
    pub(super) input: [usize; 4],
    /// Output shape, before half of it is factored out.
    pub(super) output: [usize; 4],
}

impl Scale {
    /// Checks that the output shape is the input shape with blocks of pixels as channels.
    pub(super) fn check(self) -> Result<(), ShapeError> {
        let ([b, c, h, w], [out_b, out_c, out_h, out_w]) = (self.input, self.output);
        let blocks = |whole: usize, part: usize| {
            (part > 0 && whole.is_multiple_of(part)).then(|| whole / part.max(1))
        };
        match (blocks(h, out_h), blocks(w, out_w)) {
            (Some(rows), Some(columns)) if b == out_b && out_c == c * rows * columns => Ok(()),
            _ => {
                let (shape, output) = (self.input.to_vec(), self.output.to_vec());
                Err(ShapeError::NotSqueezed { layer: LAYER, shape, output })
            }
        }
    }

    /// From the shape of the input to that of the output: blocks of pixels become channels, in the
    /// order of [`crate::ChannelOrder::ChannelMajor`].
    fn squeeze(self, z: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = self.input;
        let [_, _, out_h, out_w] = self.output;
        if h == out_h && w == out_w {
            return z;
        }
        let blocks = z.reshape([b, c, out_h, h / out_h, out_w, w / out_w]);
        blocks.permute([0, 1, 3, 5, 2, 4]).reshape(self.output)
    }

    /// The inverse of [`Scale::squeeze`].
    fn spread(self, z: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = self.input;
        let [_, _, out_h, out_w] = self.output;
        if h == out_h && w == out_w {
            return z;
        }
        let blocks = z.reshape([b, c, h / out_h, w / out_w, out_h, out_w]);
        blocks.permute([0, 1, 4, 2, 5, 3]).reshape(self.input)
    }
}

/// The half of the channels that remains, and the half that is factored out.
fn halves(h: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let kept = h.dims()[1] / 2;
    (h.clone().narrow(1, 0, kept), h.narrow(1, kept, kept))
}

/// `K` tensors, separated by the level at which their parts are factored out: one half after every
/// level but the deepest, whose output is not divided.
pub(super) struct Parts<const K: usize> {
    pub(super) left: Vec<[Tensor<4>; K]>,
    pub(super) deepest: [Tensor<4>; K],
}

impl<const K: usize> Parts<K> {
    /// Runs `level` on every scale, from the image down.
    fn descend(
        n_levels: usize,
        x: [Tensor<4>; K],
        mut level: impl FnMut(usize, [Tensor<4>; K]) -> [Tensor<4>; K],
    ) -> Self {
        let mut parts = Self { left: Vec::with_capacity(n_levels), deepest: x };
        for index in 0..n_levels {
            parts.deepest = level(index, parts.deepest);
            if index + 1 < n_levels {
                parts.left.push(parts.deepest.clone().map(|h| halves(h).1));
                parts.deepest = parts.deepest.map(|h| halves(h).0);
            }
        }
        parts
    }

    /// Runs `level` on every scale, from the deepest up.
    fn ascend(
        self,
        n_levels: usize,
        mut level: impl FnMut(usize, [Tensor<4>; K]) -> [Tensor<4>; K],
    ) -> [Tensor<4>; K] {
        let Self { mut left, mut deepest } = self;
        for index in (0..n_levels).rev() {
            if index + 1 < n_levels
                && let Some(left) = left.pop()
            {
                let mut left = left.into_iter();
                deepest =
                    deepest.map(|h| Tensor::cat([h].into_iter().chain(left.next()).collect(), 1));
            }
            deepest = level(index, deepest);
        }
        deepest
    }

    /// Joins the parts in the shape of the image.
    pub(super) fn join(self, scales: &[Scale]) -> [Tensor<4>; K] {
        self.ascend(scales.len(), |index, h| h.map(|h| scales[index].spread(h)))
    }

    /// The inverse of [`Parts::join`].
    pub(super) fn separate(scales: &[Scale], z: [Tensor<4>; K]) -> Self {
        Self::descend(scales.len(), z, |index, h| h.map(|h| scales[index].squeeze(h)))
    }

    /// The map of a multi-scale flow whose levels are `level`.
    pub(super) fn run(
        scales: &[Scale],
        direction: Direction,
        x: [Tensor<4>; K],
        level: impl FnMut(usize, [Tensor<4>; K]) -> [Tensor<4>; K],
    ) -> [Tensor<4>; K] {
        match direction {
            Direction::Forward => Self::descend(scales.len(), x, level).join(scales),
            Direction::Inverse => Self::separate(scales, x).ascend(scales.len(), level),
        }
    }
}
