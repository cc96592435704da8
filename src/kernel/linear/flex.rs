//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::cpu::{Gradients, Linear, Tape};
use super::{After, check};
use crate::kernel::host::{Contiguous, Number, dims, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::unwritten::unwritten;

fn linear(x: &FloatTensor<Flex>, weight: &FloatTensor<Flex>, after: After) -> Linear {
    let ([rows, inputs], [_, outputs]) = (dims(x), dims(weight));
    Linear { rows, inputs, outputs, after, set: InstructionSet::detect() }
}

pub fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    bias: &FloatTensor<Flex>,
    after: After,
) -> FloatTensor<Flex> {
    let checked = check(operands!("dense", x, weight, bias));
    let linear = linear(x, weight, after);
    let [x, weight, bias] = [x, weight, bias].map(Contiguous::of);
    let mut y = unwritten(linear.rows * linear.outputs, &checked);
    linear.forward::<T>(x.numbers(), weight.numbers(), bias.numbers(), &mut y);
    tensor(y, [linear.rows, linear.outputs])
}

pub fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    after: After,
    of_x: bool,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("dense_backward", x, weight, y, gradient));
    let linear = linear(x, weight, after);
    let Linear { rows, inputs, outputs, .. } = linear;
    let [x, weight, y, gradient] = [x, weight, y, gradient].map(Contiguous::of);
    let rows = if of_x { rows } else { 0 };
    let mut of_input = unwritten(rows * inputs, &checked);
    let (mut of_weight, mut of_bias) = (vec![T::zero(); inputs * outputs], vec![T::zero(); outputs]);
    let gradients = Gradients { x: of_x.then_some(&mut of_input[..]), weight: &mut of_weight, bias: &mut of_bias };
    let tape = Tape { x: x.numbers(), weight: weight.numbers(), y: y.numbers(), gradient: gradient.numbers() };
    linear.backward::<T>(tape, gradients);
    (tensor(of_input, [rows, inputs]), tensor(of_weight, [inputs, outputs]), tensor(of_bias, [outputs]))
}
