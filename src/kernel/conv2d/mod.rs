//! Convolution of stride 1 with zero "same" padding, of `x` or of `concat_elu(x)`.
//! ```text
//! y[b, o, p] = Σ_{c, d} w[o, c, d]·v[b, c, p + d] + bias[o]        v = x or concat_elu(x), 0 outside of the image
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x` | images | `[B, C, H, W]`, or `[B, C/2, H, W]` in front of `concat_elu` |
//! | `w` | weights, both sides odd | `[O, C, kh, kw]` |
//! | `bias` | | `[O]` |
//! | `y` | | `[B, O, H, W]` |
//!
//! burn's own convolution of the CPU rearranges images for a product of all taps, and computes the gradient of the weights as a convolution with few
//! outputs; here rows of taps are products on shifted copies, and what the convolution sees is not stored. The algorithm heads `cpu/mod.rs`.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;

use super::{NetworkOps, concat_elu, serve_networks};

/// What stands in front of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreActivation {
    /// Nothing.
    Identity,
    /// [`concat_elu`]: twice the channels.
    ConcatElu,
}

impl PreActivation {
    /// How many channels it makes of one.
    pub(crate) fn factor(self) -> usize {
        match self {
            Self::Identity => 1,
            Self::ConcatElu => 2,
        }
    }
}

/// `y` from `x`.
///
/// # Panics
/// If a side of the kernel is even or the channels do not match.
pub fn forward(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, before: PreActivation) -> Tensor<4> {
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x, weight, bias, before);
    }
    let (found, expected) = (x.dims()[1] * before.factor(), weight.dims()[1]);
    assert_eq!(found, expected, "conv2d: the weights take {expected} channels, not {found}");
    let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], (&weight.device(), weight.dtype())));
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetworkOps>::same_conv2d(x, weight, bias, before))
}

/// The operation in plain tensor operations: its definition.
pub fn reference(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, before: PreActivation) -> Tensor<4> {
    let x = if before == PreActivation::ConcatElu { concat_elu::reference(x) } else { x };
    let [_, _, height, width] = weight.dims();
    module::conv2d(x, weight, bias, ConvOptions::new([1, 1], [height / 2, width / 2], [1, 1], 1))
}
