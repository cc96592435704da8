//! Convolution of stride 1 with "same" padding, with the activations before and after it.
//! ```text
//! y[b, o, p] = f(Σ_{c, d} w[o, c, d]·v[b, c, p + d] + bias[o])
//!
//! v = x or concat_elu(x), 0 outside of the image       f(h) = h or max(h, 0)
//! ```
//! With [`Edge::Ring`], `v` has one more channel, which is 1 outside of the image and 0 inside.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x` | images | `[B, C, H, W]`, or `[B, C/2, H, W]` in front of `concat_elu` |
//! | `w` | weights, both sides odd | `[O, C, kh, kw]`, or `[O, C + 1, kh, kw]` with a ring |
//! | `bias` | | `[O]` |
//! | `y` | | `[B, O, H, W]` |
//!
//! burn's own convolution of the CPU rearranges images for a product of all taps, and computes the gradient of the
//! weights as a convolution with few outputs; here rows of taps are products on shifted copies, and what the
//! convolution sees is not stored. The algorithm heads `cpu/mod.rs`.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Shape, Tensor};

pub use super::linear::After;
use super::operands::{Checked, Operands, exactly, operands};
use super::{NetworkOps, concat_elu, serve_networks};

/// What precedes a convolution.
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

/// What a convolution sees outside of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Zeros.
    Zeros,
    /// Zeros, and ones in a channel that is zero inside: without it a zero of the padding and a zero of the data look
    /// alike. It is the last channel that the weights take, and not in `x`. The `edge_bias` of Glow's released code.
    Ring,
}

impl Edge {
    /// How many channels it adds to those of `x`.
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Zeros => 0,
            Self::Ring => 1,
        }
    }
}

/// What belongs to a convolution besides its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// What precedes it.
    pub before: PreActivation,
    /// What it sees outside of an image.
    pub edge: Edge,
    /// What follows it.
    pub after: After,
}

impl Form {
    /// Nothing before, zeros around and nothing after.
    pub const PLAIN: Self = Self::behind(PreActivation::Identity);

    /// Zeros around and nothing after.
    pub const fn behind(before: PreActivation) -> Self {
        Self { before, edge: Edge::Zeros, after: After::Nothing }
    }
}

/// `y` from `x`.
///
/// # Panics
/// If a side of the kernel is even, or if channels or types do not match.
pub fn forward(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, form: Form) -> Tensor<4> {
    check_forward(&x, &weight, bias.as_ref(), form);
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x, weight, bias, form);
    }
    let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], (&weight.device(), weight.dtype())));
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetworkOps>::same_conv2d(x, weight, bias, form))
}

fn check_forward(x: &Tensor<4>, weight: &Tensor<4>, bias: Option<&Tensor<1>>, form: Form) {
    match bias {
        Some(bias) => check(operands!("conv2d", x, weight, bias), form),
        None => check(operands!("conv2d", x, weight), form),
    };
}

/// Checks that the operands fit, those of the backward pass among them where there are any. `y` matters only if a ReLU
/// made it.
fn check<const N: usize>(call: Operands<N>, form: Form) -> Checked {
    let ([batch, channels, height, width], [outputs, _, kh, kw]) = (call.dims("x"), call.dims("weight"));
    let inputs = channels * form.before.factor() + form.edge.channels();
    call.expect("weight", &[None, Some(inputs), None, None]);
    call.require("weight", kh % 2 == 1 && kw % 2 == 1, "of odd sides");
    call.expect("bias", &[Some(outputs)]);
    let result = exactly([batch, outputs, height, width]);
    if form.after == After::Relu {
        call.expect("y", &result);
    }
    call.expect("gradient", &result);
    call.checked()
}

/// The operation in plain tensor operations: its definition.
///
/// # Panics
/// As [`forward`].
pub fn reference(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, form: Form) -> Tensor<4> {
    check_forward(&x, &weight, bias.as_ref(), form);
    let x = if form.before == PreActivation::ConcatElu { concat_elu::reference(x) } else { x };
    let [_, inputs, kh, kw] = weight.dims();
    let options = |padding| ConvOptions::new([1, 1], padding, [1, 1], 1);
    let y = match form.edge {
        Edge::Zeros => module::conv2d(x, weight, bias, options([kh / 2, kw / 2])),
        // The ring's share is the same for every example.
        Edge::Ring => {
            let [_, _, height, width] = x.dims();
            let own = weight.clone().narrow(1, 0, inputs - 1);
            let shared = ring(weight, [height, width], bias);
            module::conv2d(x, own, None, options([kh / 2, kw / 2])) + shared
        }
    };
    if form.after == After::Relu { relu(y) } else { y }
}

/// What a convolution with a ring gives for an image of zeros, with nothing after it: `[1, O, H, W]`.
///
/// # Panics
/// If a side of the kernel is even, if the weights take no channel, or if the bias does not match.
pub fn ring(weight: Tensor<4>, [height, width]: [usize; 2], bias: Option<Tensor<1>>) -> Tensor<4> {
    let [outputs, inputs, kh, kw] = weight.dims();
    let rule = |call: &Operands<1>| {
        call.require("weight", inputs > 0 && kh % 2 == 1 && kw % 2 == 1, "of odd sides and at least one channel");
    };
    rule(&operands!("conv2d ring", weight));
    if let Some(bias) = &bias {
        operands!("conv2d ring", weight, bias).expect("bias", &[Some(outputs)]);
    }
    let inside = Tensor::<4>::zeros(Shape::new([1, 1, height, width]), (&weight.device(), weight.dtype()));
    let ring = inside.pad((kw / 2, kw / 2, kh / 2, kh / 2), PadMode::Constant(1.0));
    module::conv2d(ring, weight.narrow(1, inputs - 1, 1), bias, ConvOptions::new([1, 1], [0, 0], [1, 1], 1))
}

#[cfg(all(test, feature = "flex"))]
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
            let expected = module::conv2d(whole, weight.clone(), Some(bias.clone()), options);
            let form = Form { edge: Edge::Ring, ..Form::PLAIN };
            for conv in [forward, reference] {
                let found = conv(x.clone(), weight.clone(), Some(bias.clone()), form);
                assert!((found - expected.clone()).abs().max().into_scalar::<f32>() < 1e-5);
            }
            let dark = reference(x.zeros_like(), weight.clone(), Some(bias.clone()), form);
            assert!((ring(weight, [h, w], Some(bias)) - dark).abs().max().into_scalar::<f32>() < 1e-6);
        }
    }
}
