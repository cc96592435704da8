//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::check;
use super::cpu::{ChannelAffine, Gradients, Operands};
use crate::kernel::flex_slices::{Contiguous, Number, dims, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::uninitialised::uninitialised;

fn affine(x: &FloatTensor<Flex>) -> ChannelAffine {
    let [_, channels, positions] = dims(x);
    ChannelAffine { channels, positions, set: InstructionSet::detect() }
}

pub fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    shift: &FloatTensor<Flex>,
    scale: &FloatTensor<Flex>,
) -> FloatTensor<Flex> {
    let checked = check(operands!("channel_affine", x, shift, scale));
    let (affine, shape): (_, [usize; 3]) = (affine(x), dims(x));
    let [x, shift, scale] = [x, shift, scale].map(Contiguous::of);
    let mut z = uninitialised(x.elements::<T>().len(), &checked);
    let operands =
        Operands { x: x.elements::<T>(), shift: shift.elements(), scale: scale.elements() };
    affine.forward(operands, &mut z);
    tensor(z, shape)
}

pub fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    shift: &FloatTensor<Flex>,
    scale: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    of_x: bool,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("channel_affine_backward", x, shift, scale, gradient));
    let (affine, [n, channels, positions]) = (affine(x), dims(x));
    let [x, shift, scale, gradient] = [x, shift, scale, gradient].map(Contiguous::of);
    let n = if of_x { n } else { 0 };
    let [mut of_input, mut of_shift, mut of_scale] = [n * channels * positions, channels, channels]
        .map(|length| uninitialised(length, &checked));
    let gradients = Gradients {
        x: of_x.then_some(&mut of_input[..]),
        shift: &mut of_shift,
        scale: &mut of_scale,
    };
    let operands =
        Operands { x: x.elements::<T>(), shift: shift.elements(), scale: scale.elements() };
    affine.backward(operands, gradient.elements(), gradients);
    (
        tensor(of_input, [n, channels, positions]),
        tensor(of_shift, [channels]),
        tensor(of_scale, [channels]),
    )
}
