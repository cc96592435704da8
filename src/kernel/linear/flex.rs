//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::check;
use super::cpu::{Gradients, Linear, Tape};
use super::{LinearGradient, LinearOps};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::operands::operands;

fn linear(x: &FloatTensor<Flex>, weight: &FloatTensor<Flex>, epilogue: Epilogue) -> Linear {
    let ([rows, inputs], [_, outputs]) = (dims(x), dims(weight));
    Linear { rows, inputs, outputs, epilogue, set: InstructionSet::detect() }
}

fn forward<T: Number>(
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

/// Gradients of the weights and the bias, and that of `x` where memory for it is given.
fn gradients<T: Number>(
    [x, weight, y, gradient]: [&FloatTensor<Flex>; 4],
    epilogue: Epilogue,
    of_x: Option<&mut [T]>,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let linear = linear(x, weight, epilogue);
    let Linear { inputs, outputs, .. } = linear;
    let [x, weight, y, gradient] = [x, weight, y, gradient].map(Contiguous::of);
    let (mut of_weight, mut of_bias) =
        (vec![T::zero(); inputs * outputs], vec![T::zero(); outputs]);
    let gradients = Gradients { x: of_x, weight: &mut of_weight, bias: &mut of_bias };
    let tape = Tape {
        x: x.elements(),
        weight: weight.elements(),
        y: y.elements(),
        gradient: gradient.elements(),
    };
    linear.backward::<T>(tape, gradients);
    (tensor(of_weight, [inputs, outputs]), tensor(of_bias, [outputs]))
}

fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    epilogue: Epilogue,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("dense_backward", x, weight, y, gradient));
    let shape: [usize; 2] = dims(x);
    let mut of_x = uninitialised(shape.iter().product(), &checked);
    let operands = [x, weight, y, gradient];
    let (weight, bias) = gradients::<T>(operands, epilogue, Some(&mut of_x));
    (tensor(of_x, shape), weight, bias)
}

fn backward_of_parameters<T: Number>(
    x: &FloatTensor<Flex>,
    weight: &FloatTensor<Flex>,
    y: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    epilogue: Epilogue,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    check(operands!("dense_backward", x, weight, y, gradient));
    gradients::<T>([x, weight, y, gradient], epilogue, None)
}

impl LinearOps for Flex {
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> FloatTensor<Self> {
        with_number!(x, forward(&x, &weight, &bias, epilogue))
    }
}

impl LinearGradient for Flex {
    fn dense_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward(&x, &weight, &y, &gradient, epilogue))
    }

    fn dense_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward_of_parameters(&x, &weight, &y, &gradient, epilogue))
    }
}
