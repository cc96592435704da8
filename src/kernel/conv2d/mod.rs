//! Convolution with stride 1 and "same" padding, with the activations before and after it.
//! ```text
//! y[b, o, p] = f(Σ_{c, d} w[o, c, d]·v[b, c, p + d] + bias[o])
//!
//! v = x or concat_elu(x), 0 outside of the image       f(h) = h or max(h, 0)
//! ```
//! With [`Border::Channel`], `v` has one more channel, the border channel, which is 1 outside of
//! the image and 0 inside.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x` | images | `[B, C, H, W]`, or `[B, C/2, H, W]` before `concat_elu` |
//! | `w` | weights, both sides odd | `[O, C, kh, kw]`, or `[O, C + 1, kh, kw]` with a border channel |
//! | `bias` | added to the sums | `[O]` |
//! | `y` | result | `[B, O, H, W]` |
//!
//! burn's own convolution on the CPU unrolls images for one product over all taps, and computes the
//! gradient of the weights as a convolution with few outputs. Here, each row of taps is a product
//! with shifted copies of the image, and the activated input is not stored. `cpu/mod.rs` describes
//! the algorithm. On GPUs the sums are burn's (`cube/mod.rs`).

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
pub(super) mod cube;
#[cfg(feature = "flex")]
mod flex;
mod node;
pub mod oracle;
pub mod plain;
mod stages;

#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Shape, Tensor};

use super::epilogue::Epilogue;
use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};

pub use stages::{Border, ConvStages, PreActivation};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
    Autodiff,
)]
pub trait Conv2dOps: Backend {
    /// `x [B, C, H, W]`, `weight [O, C, kh, kw]` or with a border
    /// channel `[O, C + 1, kh, kw]`, `bias [O]` to `[B, O, H, W]`.
    #[fusion(dtype = x, shape = result(x, weight))]
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`Conv2dOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait Conv2dGradient: Backend {
    /// Gradients of `x`, `weight` and `bias`. `y` is the result if the epilogue is a ReLU, and any
    /// tensor of the same type otherwise.
    #[fusion(meta = |x, weight, _y, _gradient, _stages| {
        (x.clone(), weight.clone(), of_bias(weight))
    })]
    fn same_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `weight` and `bias` alone, for an `x` that is data.
    #[fusion(meta = |_x, weight, _y, _gradient, _stages| (weight.clone(), of_bias(weight)))]
    fn same_conv2d_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The shape of `y`.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn result(x: &Shape, weight: &Shape) -> Shape {
    [x[0], weight[0], x[2], x[3]].into()
}

/// Shape and type of the bias.
#[cfg(feature = "_gpu")]
fn of_bias(weight: &TensorSpec) -> TensorSpec {
    TensorSpec::new([weight.shape[0]].into(), weight.dtype)
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
    if !SERVED.serves(&x) {
        return plain::forward(x, weight, bias, stages);
    }
    let Some(bias) = bias else {
        // burn's products leave their result unwritten where an operand has no element.
        let product_serves = SERVED.serves_on_gpu(&x) && !x.dims().contains(&0);
        if stages == ConvStages::PLAIN && has_one_tap(&weight) && product_serves {
            return product(x, weight);
        }
        let zeros = Tensor::zeros([weight.dims()[0]], (&weight.device(), weight.dtype()));
        return forward(x, weight, Some(zeros), stages);
    };
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Conv2dOps>::same_conv2d(x, weight, bias, stages))
}

fn has_one_tap(weight: &Tensor<4>) -> bool {
    weight.dims()[2..] == [1, 1]
}

/// `w ∗ x` of weights with a single tap: a product of matrices, with the channels of images last in
/// memory. There is nothing to add to it, so no kernel of ours has to read or write it.
fn product(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let ([batch, channels, height, width], outputs) = (x.dims(), weight.dims()[0]);
    let rows = x.permute([0, 2, 3, 1]).reshape([batch * height * width, channels]);
    let sums = rows.matmul(weight.reshape([outputs, channels]).transpose());
    sums.reshape([batch, height, width, outputs]).permute([0, 3, 1, 2])
}

fn check_forward(x: &Tensor<4>, weight: &Tensor<4>, bias: Option<&Tensor<1>>, stages: ConvStages) {
    match bias {
        Some(bias) => check(operands!("conv2d", x, weight, bias), stages),
        None => check(operands!("conv2d", x, weight), stages),
    };
}

/// Checks that the operands fit, and those of the backward pass if there are any. `y` matters only
/// if it is the result of a ReLU.
pub(super) fn check<const N: usize>(call: Operands<N>, stages: ConvStages) -> Checked {
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

/// The result of a convolution with a border channel for an image of zeros, without an epilogue:
/// `[1, O, H, W]`.
///
/// # Panics
/// If a side of the kernel is even, if the weights have no input channel, or if the bias does not
/// match.
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

    /// The definition, with the border channel and the padding as explicit tensors.
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
            for conv in [forward, plain::forward, oracle::forward] {
                let found = conv(x.clone(), weight.clone(), Some(bias.clone()), stages);
                assert!((found - expected.clone()).abs().max().into_scalar::<f32>() < 1e-5);
            }
            let dark = oracle::forward(x.zeros_like(), weight.clone(), Some(bias.clone()), stages);
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
