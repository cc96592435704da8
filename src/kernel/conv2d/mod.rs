//! Convolution of stride 1 with "same" padding, with the activations before and after it.
//! ```text
//! y[b, o, p] = f(Σ_{c, d} w[o, c, d]·v[b, c, p + d] + bias[o])
//!
//! v = x or concat_elu(x), 0 outside of the image       f(h) = h or max(h, 0)
//! ```
//! With [`Border::Channel`], `v` has one more channel, which is 1 outside of the image and 0
//! inside.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x` | images | `[B, C, H, W]`, or `[B, C/2, H, W]` before `concat_elu` |
//! | `w` | weights, both sides odd | `[O, C, kh, kw]`, or `[O, C + 1, kh, kw]` with a border channel |
//! | `bias` | | `[O]` |
//! | `y` | | `[B, O, H, W]` |
//!
//! burn's own convolution of the CPU rearranges images for a product of all taps, and computes the
//! gradient of the weights as a convolution with few outputs; here rows of taps are products on
//! shifted copies, and what the convolution sees is not stored. The algorithm heads `cpu/mod.rs`.

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

use super::epilogue::Epilogue;
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

/// What a convolution sees outside of an image, at its border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Zeros.
    Zeros,
    /// Zeros, and ones in a channel that is zero inside: without it a zero of the padding and a
    /// zero of the data look alike. It is the last channel that the weights take, and not in `x`.
    /// The `edge_bias` of Glow's released code.
    Channel,
}

impl Border {
    /// How many channels it adds to those of `x`.
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Zeros => 0,
            Self::Channel => 1,
        }
    }
}

/// The stages of a convolution around its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvStages {
    /// What precedes it.
    pub before: PreActivation,
    /// What it sees outside of an image.
    pub border: Border,
    /// What follows it.
    pub epilogue: Epilogue,
}

impl ConvStages {
    /// Nothing before, zeros around and nothing after.
    pub const PLAIN: Self = Self::preceded_by(PreActivation::Identity);

    /// Zeros around and nothing after.
    pub const fn preceded_by(before: PreActivation) -> Self {
        Self { before, border: Border::Zeros, epilogue: Epilogue::Nothing }
    }
}

/// `y` from `x`.
///
/// # Panics
/// If a side of the kernel is even, or if channels or types do not match.
pub fn forward(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stages: ConvStages,
) -> Tensor<4> {
    check_forward(&x, &weight, bias.as_ref(), stages);
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x, weight, bias, stages);
    }
    let bias = bias
        .unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], (&weight.device(), weight.dtype())));
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetworkOps>::same_conv2d(x, weight, bias, stages))
}

fn check_forward(x: &Tensor<4>, weight: &Tensor<4>, bias: Option<&Tensor<1>>, stages: ConvStages) {
    match bias {
        Some(bias) => check(operands!("conv2d", x, weight, bias), stages),
        None => check(operands!("conv2d", x, weight), stages),
    };
}

/// Checks that the operands fit, those of the backward pass among them where there are any. `y`
/// matters only if a ReLU made it.
fn check<const N: usize>(call: Operands<N>, stages: ConvStages) -> Checked {
    let ([batch, channels, height, width], [outputs, _, kh, kw]) =
        (call.dims("x"), call.dims("weight"));
    let inputs = channels * stages.before.factor() + stages.border.channels();
    call.expect("weight", &[None, Some(inputs), None, None]);
    call.require("weight", kh % 2 == 1 && kw % 2 == 1, "of odd sides");
    call.expect("bias", &[Some(outputs)]);
    let result = exactly([batch, outputs, height, width]);
    if stages.epilogue == Epilogue::Relu {
        call.expect("y", &result);
    }
    call.expect("gradient", &result);
    call.checked()
}

/// The operation in plain tensor operations: its definition.
///
/// # Panics
/// As [`forward`].
pub fn reference(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stages: ConvStages,
) -> Tensor<4> {
    check_forward(&x, &weight, bias.as_ref(), stages);
    let x = if stages.before == PreActivation::ConcatElu { concat_elu::reference(x) } else { x };
    let [_, inputs, kh, kw] = weight.dims();
    let options = |padding| ConvOptions::new([1, 1], padding, [1, 1], 1);
    let y = match stages.border {
        Border::Zeros => module::conv2d(x, weight, bias, options([kh / 2, kw / 2])),
        // The border channel's share is the same for every example.
        Border::Channel => {
            let [_, _, height, width] = x.dims();
            let own = weight.clone().narrow(1, 0, inputs - 1);
            let shared = border_channel(weight, [height, width], bias);
            module::conv2d(x, own, None, options([kh / 2, kw / 2])) + shared
        }
    };
    if stages.epilogue == Epilogue::Relu { relu(y) } else { y }
}

/// What a convolution with a border channel gives for an image of zeros, with nothing after it:
/// `[1, O, H, W]`.
///
/// # Panics
/// If a side of the kernel is even, if the weights take no channel, or if the bias does not match.
pub fn border_channel(
    weight: Tensor<4>,
    [height, width]: [usize; 2],
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    let [outputs, inputs, kh, kw] = weight.dims();
    let rule = |call: &Operands<1>| {
        call.require(
            "weight",
            inputs > 0 && kh % 2 == 1 && kw % 2 == 1,
            "of odd sides and at least one channel",
        );
    };
    rule(&operands!("conv2d border_channel", weight));
    if let Some(bias) = &bias {
        operands!("conv2d border_channel", weight, bias).expect("bias", &[Some(outputs)]);
    }
    let inside =
        Tensor::<4>::zeros(Shape::new([1, 1, height, width]), (&weight.device(), weight.dtype()));
    let outside = inside.pad((kw / 2, kw / 2, kh / 2, kh / 2), PadMode::Constant(1.0));
    module::conv2d(
        outside,
        weight.narrow(1, inputs - 1, 1),
        bias,
        ConvOptions::new([1, 1], [0, 0], [1, 1], 1),
    )
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    /// The definition, channel and padding written out.
    #[test]
    fn the_border_is_one_more_channel() {
        let device = Device::flex();
        for [h, w] in [[4, 3], [2, 2], [1, 1]] {
            let normal = |shape: [usize; 4]| {
                Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device)
            };
            let (x, weight) = (normal([2, 3, h, w]), normal([5, 4, 3, 3]));
            let padded = x.clone().pad((1, 1, 1, 1), PadMode::Constant(0.0));
            let inside =
                Tensor::<4>::ones([2, 1, h, w], &device).pad((1, 1, 1, 1), PadMode::Constant(0.0));
            let whole = Tensor::cat(vec![padded, inside.neg().add_scalar(1.0)], 1);
            let bias = Tensor::<1>::from_data([1.0f32, 2.0, 3.0, 4.0, 5.0], &device);
            let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
            let expected = module::conv2d(whole, weight.clone(), Some(bias.clone()), options);
            let stages = ConvStages { border: Border::Channel, ..ConvStages::PLAIN };
            for conv in [forward, reference] {
                let found = conv(x.clone(), weight.clone(), Some(bias.clone()), stages);
                assert!((found - expected.clone()).abs().max().into_scalar::<f32>() < 1e-5);
            }
            let dark = reference(x.zeros_like(), weight.clone(), Some(bias.clone()), stages);
            assert!(
                (border_channel(weight, [h, w], Some(bias)) - dark)
                    .abs()
                    .max()
                    .into_scalar::<f32>()
                    < 1e-6
            );
        }
    }
}
