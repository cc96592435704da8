//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::PreActivation;
use super::cpu::{Conv2d, ConvShape, Gradients};
use crate::kernel::host::{Contiguous, Number, dims, tensor};
use crate::kernel::simd::InstructionSet;
use crate::kernel::unwritten::unwritten;

fn conv(x: &FloatTensor<Flex>, weight: &FloatTensor<Flex>, before: PreActivation) -> (Conv2d, ConvShape) {
    let ([batch, _, height, width], [outputs, inputs, kh, kw]) = (dims(x), dims(weight));
    let shape = ConvShape { batch, inputs, outputs, height, width, kernel: [kh, kw] };
    (Conv2d::new(shape, before, InstructionSet::detect()), shape)
}

pub fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    bias: &FloatTensor<Flex>,
    before: PreActivation,
) -> FloatTensor<Flex> {
    let (conv, ConvShape { batch, outputs, height, width, .. }) = conv(x, weight, before);
    let mut y = unwritten(batch * outputs * height * width);
    let [x, weight, bias] = [x, weight, bias].map(Contiguous::of);
    conv.forward::<T>(x.numbers(), weight.numbers(), Some(bias.numbers()), &mut y);
    tensor(y, [batch, outputs, height, width])
}

pub fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    before: PreActivation,
    of_x: bool,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let (conv, ConvShape { outputs, .. }) = conv(x, weight, before);
    let (x_shape, weight_shape): ([usize; 4], [usize; 4]) = (dims(x), dims(weight));
    let [x, weight, gradient] = [x, weight, gradient].map(Contiguous::of);
    let mut of_input = unwritten(if of_x { x.numbers::<T>().len() } else { 0 });
    let mut of_weight = unwritten(weight.numbers::<T>().len());
    let mut of_bias = unwritten(outputs);
    let gradients =
        Gradients { x: of_x.then_some(&mut of_input[..]), weight: Some(&mut of_weight), bias: Some(&mut of_bias) };
    conv.backward::<T>(x.numbers(), weight.numbers(), gradient.numbers(), gradients);
    let x_shape = if of_x { x_shape } else { [0, x_shape[1], x_shape[2], x_shape[3]] };
    (tensor(of_input, x_shape), tensor(of_weight, weight_shape), tensor(of_bias, [outputs]))
}
