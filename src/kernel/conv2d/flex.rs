//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::cpu::{Conv2d, ConvShape, Gradients, mask};
use super::{Conv2dGradient, Conv2dOps};
use super::{ConvStages, check};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, in_place, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::operands::{Checked, operands};

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

fn forward<T: Number>(
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

/// Gradients of the weights and the bias, and that of `x` where memory for it is given.
fn gradients<T: Number>(
    [x, weight, y]: [&FloatTensor<Flex>; 3],
    mut gradient: FloatTensor<Flex>,
    stages: ConvStages,
    of_x: Option<&mut [T]>,
    checked: &Checked,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let (conv, ConvShape { outputs, .. }) = conv(x, weight, stages);
    let weight_shape: [usize; 4] = dims(weight);
    if stages.epilogue == Epilogue::Relu {
        mask(InstructionSet::detect(), Contiguous::of(y).elements(), in_place::<T>(&mut gradient));
    }
    let [x, weight, gradient] = [x, weight, &gradient].map(Contiguous::of);
    let mut of_weight = uninitialised(weight.elements::<T>().len(), checked);
    let mut of_bias = uninitialised(outputs, checked);
    let gradients = Gradients { x: of_x, weight: Some(&mut of_weight), bias: Some(&mut of_bias) };
    conv.backward::<T>(x.elements(), weight.elements(), gradient.elements(), gradients);
    (tensor(of_weight, weight_shape), tensor(of_bias, [outputs]))
}

fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    gradient: FloatTensor<Flex>,
    stages: ConvStages,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("same_conv2d_backward", x, weight, y, gradient), stages);
    let shape: [usize; 4] = dims(x);
    let mut of_x = uninitialised(shape.iter().product(), &checked);
    let (weight, bias) =
        gradients::<T>([x, weight, y], gradient, stages, Some(&mut of_x), &checked);
    (tensor(of_x, shape), weight, bias)
}

fn backward_of_parameters<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    gradient: FloatTensor<Flex>,
    stages: ConvStages,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("same_conv2d_backward", x, weight, y, gradient), stages);
    gradients::<T>([x, weight, y], gradient, stages, None, &checked)
}

impl Conv2dOps for Flex {
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        with_number!(x, forward(&x, &weight, &bias, stages))
    }
}

impl Conv2dGradient for Flex {
    fn same_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward(&x, &weight, &y, gradient, stages))
    }

    fn same_conv2d_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward_of_parameters(&x, &weight, &y, gradient, stages))
    }
}
