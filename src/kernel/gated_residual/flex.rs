//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{check, check_backward, cpu};
use crate::kernel::flex_slices::{Contiguous, Number, dims, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::uninitialised::uninitialised;

pub fn forward<T: Number>(x: &FloatTensor<Flex>, h: &FloatTensor<Flex>) -> FloatTensor<Flex> {
    let checked = check(operands!("gated_residual", x, h));
    let shape @ [batch, channels, height, width] = dims(x);
    let length = channels * height * width;
    let mut y = uninitialised(batch * length, &checked);
    let [x, h] = [x, h].map(Contiguous::of);
    cpu::forward::<T>(InstructionSet::detect(), length, x.elements(), h.elements(), &mut y);
    tensor(y, shape)
}

pub fn backward<T: Number>(
    h: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
) -> FloatTensor<Flex> {
    let checked = check_backward(operands!("gated_residual_backward", h, gradient));
    let shape @ [batch, channels, height, width] = dims(h);
    let length = channels / 2 * height * width;
    let mut of_h = uninitialised(2 * batch * length, &checked);
    let [h, gradient] = [h, gradient].map(Contiguous::of);
    cpu::backward::<T>(
        InstructionSet::detect(),
        length,
        h.elements(),
        gradient.elements(),
        &mut of_h,
    );
    tensor(of_h, shape)
}
