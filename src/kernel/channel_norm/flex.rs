//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::check;
use super::cpu::{ChannelNorm, Gradients};
use super::{ChannelNormGradient, ChannelNormOps};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

fn norm(x: &FloatTensor<Flex>, epsilon: f64) -> ChannelNorm {
    let [batch, channels, height, width] = dims(x);
    ChannelNorm {
        batch,
        channels,
        positions: height * width,
        epsilon,
        set: InstructionSet::detect(),
    }
}

fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    gain: &FloatTensor<Flex>,
    shift: &FloatTensor<Flex>,
    epsilon: f64,
) -> FloatTensor<Flex> {
    let checked = check(operands!("channel_norm", x, gain, shift));
    let (norm, shape): (_, [usize; 4]) = (norm(x, epsilon), dims(x));
    let mut y = uninitialised(shape.iter().product(), &checked);
    let [x, gain, shift] = [x, gain, shift].map(Contiguous::of);
    norm.forward::<T>(x.elements(), gain.elements(), shift.elements(), &mut y);
    tensor(y, shape)
}

fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    gain: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    epsilon: f64,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("channel_norm_backward", x, gain, gradient));
    let (norm, shape): (_, [usize; 4]) = (norm(x, epsilon), dims(x));
    let mut of_x = uninitialised(shape.iter().product(), &checked);
    let (mut of_gain, mut of_shift) =
        (vec![T::zero(); norm.channels], vec![T::zero(); norm.channels]);
    let [x, gain, gradient] = [x, gain, gradient].map(Contiguous::of);
    let gradients = Gradients { x: &mut of_x, gain: &mut of_gain, shift: &mut of_shift };
    norm.backward::<T>(x.elements(), gain.elements(), gradient.elements(), gradients);
    let parameters = [1, norm.channels, 1, 1];
    (tensor(of_x, shape), tensor(of_gain, parameters), tensor(of_shift, parameters))
}

impl ChannelNormOps for Flex {
    fn channel_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        with_number!(x, forward(&x, &gain, &shift, epsilon))
    }
}

impl ChannelNormGradient for Flex {
    fn channel_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward(&x, &gain, &gradient, epsilon))
    }
}
