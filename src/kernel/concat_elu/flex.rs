//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{ConcatEluGradient, ConcatEluOps};
use super::{check, cpu};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

fn forward<T: Number>(x: &FloatTensor<Flex>) -> FloatTensor<Flex> {
    let checked = check(operands!("concat_elu", x));
    let [batch, channels, height, width] = dims(x);
    let length = channels * height * width;
    let mut y = uninitialised(2 * batch * length, &checked);
    cpu::forward::<T>(InstructionSet::detect(), length, Contiguous::of(x).elements(), &mut y);
    tensor(y, [batch, 2 * channels, height, width])
}

fn backward<T: Number>(x: &FloatTensor<Flex>, gradient: &FloatTensor<Flex>) -> FloatTensor<Flex> {
    let checked = check(operands!("concat_elu_backward", x, gradient));
    let [batch, channels, height, width] = dims(x);
    let length = channels * height * width;
    let mut of_x = uninitialised(batch * length, &checked);
    let [x, gradient] = [x, gradient].map(Contiguous::of);
    cpu::backward::<T>(
        InstructionSet::detect(),
        length,
        x.elements(),
        gradient.elements(),
        &mut of_x,
    );
    tensor(of_x, [batch, channels, height, width])
}

impl ConcatEluOps for Flex {
    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        with_number!(x, forward(&x))
    }
}

impl ConcatEluGradient for Flex {
    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        with_number!(x, backward(&x, &gradient))
    }
}
