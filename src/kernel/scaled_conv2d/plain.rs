//! The operation with scaled weights: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use super::check;
use crate::kernel::channel_affine;
use crate::kernel::conv2d::{self, ConvStages};
use crate::kernel::operands::operands;

/// [`forward`](super::forward) with scaled weights.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    (log_scale, factor): (Tensor<1>, f64),
    stages: ConvStages,
) -> Tensor<4> {
    check(operands!("scaled_conv2d", x, weight, bias, log_scale), stages);
    let (weight, bias) = scaled(weight, bias, (log_scale, factor));
    conv2d::forward(x, weight, Some(bias), stages)
}

/// Weights `[O, C, kh, kw]` and bias `[O]`, each multiplied by the scale of its output.
///
/// # Panics
/// If the number of log-scales or of biases is not that of the outputs, or if types differ.
pub fn scaled(
    weight: Tensor<4>,
    bias: Tensor<1>,
    (log_scale, factor): (Tensor<1>, f64),
) -> (Tensor<4>, Tensor<1>) {
    let dims @ [outputs, inputs, kh, kw] = weight.dims();
    let call = operands!("scaled_conv2d::scaled", weight, bias, log_scale);
    call.expect("bias", &[Some(outputs)]);
    call.expect("log_scale", &[Some(outputs)]);
    call.checked();
    let scale = if factor == 1.0 { log_scale.exp() } else { log_scale.mul_scalar(factor).exp() };
    let rows = weight.reshape([1, outputs, inputs * kh * kw]);
    let weight = channel_affine::scaled(rows, scale.clone()).reshape(dims);
    (weight, bias * scale)
}
