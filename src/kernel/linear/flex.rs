//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::check;
use super::cpu::{Gradients, Linear, Tape};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::flex_slices::{Contiguous, Number, dims, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::uninitialised::uninitialised;

fn linear(x: &FloatTensor<Flex>, weight: &FloatTensor<Flex>, epilogue: Epilogue) -> Linear {
    let ([rows, inputs], [_, outputs]) = (dims(x), dims(weight));
    Linear { rows, inputs, outputs, epilogue, set: InstructionSet::detect() }
}

pub fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    bias: &FloatTensor<Flex>,
    epilogue: Epilogue,
) -> FloatTensor<Flex> {
    let checked = check(operands!("dense", x, weight, bias));
    let linear = linear(x, weight, epilogue);
    let [x, weight, bias] = [x, weight, bias].map(Contiguous::of);
    let mut y = uninitialised(linear.rows * linear.outputs, &checked);
    linear.forward::<T>(x.elements(), weight.elements(), bias.elements(), &mut y);
    tensor(y, [linear.rows, linear.outputs])
}

pub fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    epilogue: Epilogue,
    of_x: bool,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("dense_backward", x, weight, y, gradient));
    let linear = linear(x, weight, epilogue);
    let Linear { rows, inputs, outputs, .. } = linear;
    let [x, weight, y, gradient] = [x, weight, y, gradient].map(Contiguous::of);
    let rows = if of_x { rows } else { 0 };
    let mut of_input = uninitialised(rows * inputs, &checked);
    let (mut of_weight, mut of_bias) =
        (vec![T::zero(); inputs * outputs], vec![T::zero(); outputs]);
    let gradients = Gradients {
        x: of_x.then_some(&mut of_input[..]),
        weight: &mut of_weight,
        bias: &mut of_bias,
    };
    let tape = Tape {
        x: x.elements(),
        weight: weight.elements(),
        y: y.elements(),
        gradient: gradient.elements(),
    };
    linear.backward::<T>(tape, gradients);
    (
        tensor(of_input, [rows, inputs]),
        tensor(of_weight, [inputs, outputs]),
        tensor(of_bias, [outputs]),
    )
}
