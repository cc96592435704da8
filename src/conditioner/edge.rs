//! Convolution that sees where the image ends.
//! ```text
//! y = conv3x3((pad(x), ring))              pad: one row and column of zeros on each side; no padding beyond that
//! ```
//! `ring` is one more channel, 1 on the padded positions and 0 inside: without it a zero of the padding and a zero of the data look alike. The
//! ring's share of the output is the same for every example, so it is computed once and added; `pad(x)` is the convolution's own padding.
//!
//! # Reference
//! `edge_bias` of Glow's released code.

use burn::tensor::module::conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Shape, Tensor};

use crate::kernel::conv2d::{PreActivation, forward as same_conv2d};

/// # Shapes
/// `x [B, in, H, W]`, `weight [out, in + 1, 3, 3]`, `bias [out]` to `[B, out, H, W]`.
pub(super) fn edge_conv(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let [_, inputs, h, w] = x.dims();
    let own = weight.clone().narrow(1, 0, inputs);
    same_conv2d(x, own, None, PreActivation::Identity) + ring_conv([h, w], weight, bias)
}

/// What [`edge_conv`] gives for an image of zeros.
///
/// # Shapes
/// `weight [out, in + 1, 3, 3]`, `bias [out]` to `[1, out, H, W]`.
pub(super) fn ring_conv([h, w]: [usize; 2], weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let ring = Tensor::<4>::zeros(Shape::new([1, 1, h, w]), (&weight.device(), weight.dtype()));
    let ring = ring.pad((1, 1, 1, 1), PadMode::Constant(1.0));
    let last = weight.dims()[1] - 1;
    conv2d(ring, weight.narrow(1, last, 1), bias, ConvOptions::new([1, 1], [0, 0], [1, 1], 1))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    /// The definition, channel and padding written out.
    #[test]
    fn the_ring_is_one_more_channel() {
        let device = Device::flex();
        for [h, w] in [[4, 3], [2, 2], [1, 1]] {
            let normal = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
            let (x, weight) = (normal([2, 3, h, w]), normal([5, 4, 3, 3]));
            let padded = x.clone().pad((1, 1, 1, 1), PadMode::Constant(0.0));
            let inside = Tensor::<4>::ones([2, 1, h, w], &device).pad((1, 1, 1, 1), PadMode::Constant(0.0));
            let whole = Tensor::cat(vec![padded, inside.neg().add_scalar(1.0)], 1);
            let bias = Tensor::<1>::from_data([1.0f32, 2.0, 3.0, 4.0, 5.0], &device);
            let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
            let expected = conv2d(whole, weight.clone(), Some(bias.clone()), options);
            let found = edge_conv(x.clone(), weight.clone(), Some(bias.clone()));
            assert!((found - expected).abs().max().into_scalar::<f32>() < 1e-5);
            let dark = edge_conv(x.zeros_like(), weight.clone(), Some(bias.clone()));
            assert!((ring_conv([h, w], weight, Some(bias)) - dark).abs().max().into_scalar::<f32>() < 1e-6);
        }
    }
}
