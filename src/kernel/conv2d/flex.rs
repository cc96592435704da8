//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::cpu::{Conv2d, ConvShape, Gradients, mask};
use super::{After, Form, check};
use crate::kernel::host::{Contiguous, Number, dims, in_place, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::unwritten::unwritten;

fn conv(x: &FloatTensor<Flex>, weight: &FloatTensor<Flex>, form: Form) -> (Conv2d, ConvShape) {
    let ([batch, _, height, width], [outputs, inputs, kh, kw]) = (dims(x), dims(weight));
    let inputs = inputs - form.edge.channels();
    let shape = ConvShape { batch, inputs, outputs, height, width, kernel: [kh, kw] };
    (Conv2d::new(shape, form, InstructionSet::detect()), shape)
}

pub fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    bias: &FloatTensor<Flex>,
    form: Form,
) -> FloatTensor<Flex> {
    let checked = check(operands!("same_conv2d", x, weight, bias), form);
    let (conv, ConvShape { batch, outputs, height, width, .. }) = conv(x, weight, form);
    let mut y = unwritten(batch * outputs * height * width, &checked);
    let [x, weight, bias] = [x, weight, bias].map(Contiguous::of);
    conv.forward::<T>(x.numbers(), weight.numbers(), Some(bias.numbers()), &mut y);
    tensor(y, [batch, outputs, height, width])
}

pub fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    mut gradient: FloatTensor<Flex>,
    form: Form,
    of_x: bool,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("same_conv2d_backward", x, weight, y, gradient), form);
    let (conv, ConvShape { outputs, .. }) = conv(x, weight, form);
    let (x_shape, weight_shape): ([usize; 4], [usize; 4]) = (dims(x), dims(weight));
    if form.after == After::Relu {
        mask(InstructionSet::detect(), Contiguous::of(y).numbers(), in_place::<T>(&mut gradient));
    }
    let [x, weight, gradient] = [x, weight, &gradient].map(Contiguous::of);
    let mut of_input = unwritten(if of_x { x.numbers::<T>().len() } else { 0 }, &checked);
    let mut of_weight = unwritten(weight.numbers::<T>().len(), &checked);
    let mut of_bias = unwritten(outputs, &checked);
    let gradients =
        Gradients { x: of_x.then_some(&mut of_input[..]), weight: Some(&mut of_weight), bias: Some(&mut of_bias) };
    conv.backward::<T>(x.numbers(), weight.numbers(), gradient.numbers(), gradients);
    let x_shape = if of_x { x_shape } else { [0, x_shape[1], x_shape[2], x_shape[3]] };
    (tensor(of_input, x_shape), tensor(of_weight, weight_shape), tensor(of_bias, [outputs]))
}
