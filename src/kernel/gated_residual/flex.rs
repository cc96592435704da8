//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{GatedResidualGradient, GatedResidualOps};
use super::{check, check_backward, cpu};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

fn forward<T: Number>(x: &FloatTensor<Flex>, h: &FloatTensor<Flex>) -> FloatTensor<Flex> {
    let checked = check(operands!("gated_residual", x, h));
    let shape @ [batch, channels, height, width] = dims(x);
    let length = channels * height * width;
    let mut y = uninitialised(batch * length, &checked);
    let [x, h] = [x, h].map(Contiguous::of);
    cpu::forward::<T>(InstructionSet::detect(), length, x.elements(), h.elements(), &mut y);
    tensor(y, shape)
}

fn backward<T: Number>(h: &FloatTensor<Flex>, gradient: &FloatTensor<Flex>) -> FloatTensor<Flex> {
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

impl GatedResidualOps for Flex {
    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self> {
        with_number!(x, forward(&x, &h))
    }
}

impl GatedResidualGradient for Flex {
    fn gated_residual_backward(
        h: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        with_number!(h, backward(&h, &gradient))
    }
}
