//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::check;
use super::cpu::{ChannelAffine, Gradients, Operands};
use super::{ChannelAffineGradient, ChannelAffineOps};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::{Checked, operands};

fn affine(x: &FloatTensor<Flex>) -> ChannelAffine {
    let [_, channels, positions] = dims(x);
    ChannelAffine { channels, positions, set: InstructionSet::detect() }
}

fn forward<T: Number>(
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

/// Gradients of shift and scale, and that of `x` where memory for it is given.
fn gradients<T: Number>(
    [x, shift, scale, gradient]: [&FloatTensor<Flex>; 4],
    of_x: Option<&mut [T]>,
    checked: &Checked,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let affine = affine(x);
    let channels = affine.channels;
    let [x, shift, scale, gradient] = [x, shift, scale, gradient].map(Contiguous::of);
    let [mut of_shift, mut of_scale] = [channels; 2].map(|length| uninitialised(length, checked));
    let gradients = Gradients { x: of_x, shift: &mut of_shift, scale: &mut of_scale };
    let operands =
        Operands { x: x.elements::<T>(), shift: shift.elements(), scale: scale.elements() };
    affine.backward(operands, gradient.elements(), gradients);
    (tensor(of_shift, [channels]), tensor(of_scale, [channels]))
}

fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    shift: &FloatTensor<Flex>,
    scale: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("channel_affine_backward", x, shift, scale, gradient));
    let shape: [usize; 3] = dims(x);
    let mut of_x = uninitialised(shape.iter().product(), &checked);
    let operands = [x, shift, scale, gradient];
    let (shift, scale) = gradients::<T>(operands, Some(&mut of_x), &checked);
    (tensor(of_x, shape), shift, scale)
}

fn backward_of_parameters<T: Number>(
    x: &FloatTensor<Flex>,
    shift: &FloatTensor<Flex>,
    scale: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("channel_affine_backward", x, shift, scale, gradient));
    gradients::<T>([x, shift, scale, gradient], None, &checked)
}

impl ChannelAffineOps for Flex {
    fn channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        with_number!(x, forward(&x, &shift, &scale))
    }
}

impl ChannelAffineGradient for Flex {
    fn channel_affine_backward(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward(&x, &shift, &scale, &gradient))
    }

    fn channel_affine_backward_of_parameters(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward_of_parameters(&x, &shift, &scale, &gradient))
    }
}
