//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::check;
use super::cpu::{GatedNorm, Gradients, Operands};
use super::{GatedNormGradient, GatedNormOps};
use crate::kernel::channel_norm::cpu::ChannelNorm;
use crate::kernel::conv2d::cpu::{Conv2d, ConvShape};
use crate::kernel::conv2d::{ConvStages, PreActivation};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

/// The operands except the shift: `x`, `c`, weights, bias, gain.
pub type Arguments<'a> = [&'a FloatTensor<Flex>; 5];

fn gated_norm(
    [x, c, weight, _, _]: Arguments<'_>,
    before: PreActivation,
    epsilon: f64,
) -> GatedNorm {
    let ([_, channels, height, width], [_, c_channels, _, _]) = (dims(x), dims(c));
    let [outputs, inputs, kh, kw] = dims(weight);
    let set = InstructionSet::detect();
    let positions = height * width;
    let shape = ConvShape { batch: 1, inputs, outputs, height, width, kernel: [kh, kw] };
    GatedNorm {
        conv: Conv2d::new(shape, ConvStages::preceded_by(before), set),
        norm: ChannelNorm { batch: 1, channels, positions, epsilon, set },
        length: channels * positions,
        c_length: c_channels * positions,
        set,
    }
}

fn operands<T: Number>(arguments: &[Contiguous; 5]) -> Operands<'_, T> {
    let [x, c, weight, bias, gain] = arguments.each_ref().map(|argument| argument.elements());
    Operands { x, c, weight, bias, gain }
}

fn forward<T: Number>(
    arguments: Arguments<'_>,
    shift: &FloatTensor<Flex>,
    before: PreActivation,
    epsilon: f64,
) -> FloatTensor<Flex> {
    let [x, c, weight, bias, gain] = arguments;
    let checked = check(operands!("gated_norm", x, c, weight, bias, gain, shift), before);
    let shape: [usize; 4] = dims(x);
    let mut y = uninitialised(shape.iter().product(), &checked);
    let gated_norm = gated_norm(arguments, before, epsilon);
    let arguments = arguments.map(Contiguous::of);
    gated_norm.forward::<T>(operands(&arguments), Contiguous::of(shift).elements(), &mut y);
    tensor(y, shape)
}

/// Gradients of `x`, `c`, weights, bias, gain and shift.
fn backward<T: Number>(
    arguments: Arguments<'_>,
    gradient: &FloatTensor<Flex>,
    before: PreActivation,
    epsilon: f64,
) -> [FloatTensor<Flex>; 6] {
    let [x, c, weight, bias, gain] = arguments;
    let checked =
        check(operands!("gated_norm_backward", x, c, weight, bias, gain, gradient), before);
    let [x, c, weight, gain] = [x, c, weight, gain].map(dims::<4>);
    let bias = [weight[0]];
    let gated_norm = gated_norm(arguments, before, epsilon);
    let [mut of_x, mut of_c, mut of_weight] =
        [x, c, weight].map(|shape| uninitialised(shape.iter().product(), &checked));
    let [mut of_bias, mut of_gain, mut of_shift] =
        [bias[0], gain.iter().product(), gain.iter().product()]
            .map(|length| uninitialised(length, &checked));
    let gradients = Gradients {
        x: &mut of_x,
        c: &mut of_c,
        weight: &mut of_weight,
        bias: &mut of_bias,
        gain: &mut of_gain,
        shift: &mut of_shift,
    };
    let arguments = arguments.map(Contiguous::of);
    gated_norm.backward::<T>(operands(&arguments), Contiguous::of(gradient).elements(), gradients);
    let [of_x, of_c, of_weight] = [(of_x, x), (of_c, c), (of_weight, weight)]
        .map(|(elements, shape)| tensor(elements, shape));
    [of_x, of_c, of_weight, tensor(of_bias, bias), tensor(of_gain, gain), tensor(of_shift, gain)]
}

impl GatedNormOps for Flex {
    fn gated_norm(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let arguments = [&x, &c, &weight, &bias, &gain];
        with_number!(x, forward(arguments, &shift, before, epsilon))
    }
}

impl GatedNormGradient for Flex {
    fn gated_norm_backward(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let arguments = [&x, &c, &weight, &bias, &gain];
        with_number!(x, backward(arguments, &gradient, before, epsilon)).into()
    }
}
