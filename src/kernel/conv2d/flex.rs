//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::cpu::{Conv2d, ConvShape, Gradients, mask};
use super::{ConvStages, check};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::flex_slices::{Contiguous, Number, dims, in_place, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::uninitialised::uninitialised;

fn conv(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    stages: ConvStages,
) -> (Conv2d, ConvShape) {
    let ([batch, _, height, width], [outputs, inputs, kh, kw]) = (dims(x), dims(weight));
    let inputs = inputs - stages.border.channels();
    let shape = ConvShape { batch, inputs, outputs, height, width, kernel: [kh, kw] };
    (Conv2d::new(shape, stages, InstructionSet::detect()), shape)
}

pub fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    bias: &FloatTensor<Flex>,
    stages: ConvStages,
) -> FloatTensor<Flex> {
    let checked = check(operands!("same_conv2d", x, weight, bias), stages);
    let (conv, ConvShape { batch, outputs, height, width, .. }) = conv(x, weight, stages);
    let mut y = uninitialised(batch * outputs * height * width, &checked);
    let [x, weight, bias] = [x, weight, bias].map(Contiguous::of);
    conv.forward::<T>(x.elements(), weight.elements(), Some(bias.elements()), &mut y);
    tensor(y, [batch, outputs, height, width])
}

pub fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    mut gradient: FloatTensor<Flex>,
    stages: ConvStages,
    of_x: bool,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("same_conv2d_backward", x, weight, y, gradient), stages);
    let (conv, ConvShape { outputs, .. }) = conv(x, weight, stages);
    let (x_shape, weight_shape): ([usize; 4], [usize; 4]) = (dims(x), dims(weight));
    if stages.epilogue == Epilogue::Relu {
        mask(InstructionSet::detect(), Contiguous::of(y).elements(), in_place::<T>(&mut gradient));
    }
    let [x, weight, gradient] = [x, weight, &gradient].map(Contiguous::of);
    let mut of_input = uninitialised(if of_x { x.elements::<T>().len() } else { 0 }, &checked);
    let mut of_weight = uninitialised(weight.elements::<T>().len(), &checked);
    let mut of_bias = uninitialised(outputs, &checked);
    let gradients = Gradients {
        x: of_x.then_some(&mut of_input[..]),
        weight: Some(&mut of_weight),
        bias: Some(&mut of_bias),
    };
    conv.backward::<T>(x.elements(), weight.elements(), gradient.elements(), gradients);
    let x_shape = if of_x { x_shape } else { [0, x_shape[1], x_shape[2], x_shape[3]] };
    (tensor(of_input, x_shape), tensor(of_weight, weight_shape), tensor(of_bias, [outputs]))
}
