//! The operation in plain tensor operations, for devices and types without its kernel.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;

use super::{Border, ConvStages, PreActivation, border_channel, check_forward};
use crate::kernel::concat_elu;
use crate::kernel::epilogue::Epilogue;

/// [`forward`](super::forward), with the kernel of [`concat_elu`] where the device has it.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stages: ConvStages,
) -> Tensor<4> {
    check_forward(&x, &weight, bias.as_ref(), stages);
    convolve(concat_elu::forward, x, (weight, bias), stages)
}

/// The stages one after the other, with this form of [`concat_elu`].
pub(super) fn convolve(
    concat_elu: impl FnOnce(Tensor<4>) -> Tensor<4>,
    x: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    stages: ConvStages,
) -> Tensor<4> {
    let x = if stages.before == PreActivation::ConcatElu { concat_elu(x) } else { x };
    let [_, inputs, kh, kw] = weight.dims();
    let options = |padding| ConvOptions::new([1, 1], padding, [1, 1], 1);
    let y = match stages.border {
        Border::Zeros => module::conv2d(x, weight, bias, options([kh / 2, kw / 2])),
        // The contribution of the border channel is the same for every example.
        Border::Channel => {
            let [_, _, height, width] = x.dims();
            let own = weight.clone().narrow(1, 0, inputs - 1);
            let shared = border_channel(weight, [height, width], bias);
            module::conv2d(x, own, None, options([kh / 2, kw / 2])) + shared
        }
    };
    if stages.epilogue == Epilogue::Relu { relu(y) } else { y }
}
