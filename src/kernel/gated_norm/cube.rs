//! The operation on tensors of burn's GPU backends.
//! ```text
//! v = before(c)          h = conv(v)          r = x + h_1..F·σ(h_F+1..2F)          y = norm(r)
//! ```
//! The activation is the kernel of [`concat_elu`](crate::kernel::concat_elu), and the sums of the
//! convolution are burn's. Everything stays with the channels on the last axis in memory, as burn's
//! convolutions read and write them. The kernels below follow. As in
//! [`channel_norm`](crate::kernel::channel_norm), one unit computes all channels of one position,
//! and its cube adds what they contribute to the gradients of gain, shift and bias.
//!
//! | launch | reads | writes |
//! |---|---|---|
//! | forward | `x`, `h` before its bias, bias, gain, shift | `y` |
//! | backward | `x`, `h`, bias, gain and the gradient of `y` | gradients of `x` and `h`, the sums of each cube |
//! | backward | the sums of each cube | gradients of gain, shift and bias |
//!
//! A row of the table is a launch. A unit passes over its channels three times: for the mean, for
//! the variance, and for the result. Each pass computes `r` anew, so no launch writes it. The
//! backward pass recomputes `v` and `h`, and frees them and their gradients when it ends. 16-bit
//! types round `r` to their precision, as a separate gated residual sum does.

use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::check;
use super::{GatedNormGradient, GatedNormOps};
use crate::kernel::channel_norm::cube::{
    Channels, backward_from, channels_of, gradient_of, moments_from, normalized, positions_of,
};
use crate::kernel::concat_elu::ConcatEluGradient;
use crate::kernel::conv2d::PreActivation;
use crate::kernel::conv2d::cube::{activated, sums};
use crate::kernel::cube::columns::{self, ROUND};
use crate::kernel::cube::{empty_images, scalar, sigmoid, types, unit_each};
use crate::kernel::operands::operands;

/// Sums for each channel: the gradients of gain and shift, and of the bias of both halves.
const KINDS: usize = 4;

/// Channels of a round of sums.
const CHANNELS: usize = ROUND / KINDS;

/// One channel of `h`: its sum and its bias.
#[cube]
fn gate_of<F: Float, N: Float>(
    sums: &Tensor<F>,
    bias: &Tensor<F>,
    in_sums: &Channels,
    channel: usize,
) -> N {
    N::cast_from(sums[in_sums.at(channel)]) + N::cast_from(bias[channel])
}

/// `r` of one channel, rounded to the type of the tensors.
#[cube]
fn gated_sum<F: Float, N: Float>(
    x: &Tensor<F>,
    sums: &Tensor<F>,
    bias: &Tensor<F>,
    in_x: &Channels,
    in_sums: &Channels,
    channel: usize,
) -> N {
    let linear = gate_of::<F, N>(sums, bias, in_sums, channel);
    let gate = sigmoid::<N>(gate_of::<F, N>(sums, bias, in_sums, channel + x.shape(1)));
    N::cast_from(F::cast_from(N::cast_from(x[in_x.at(channel)]) + linear * gate))
}

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    sums: &Tensor<F>,
    bias: &Tensor<F>,
    gain: &Tensor<F>,
    shift: &Tensor<F>,
    y: &mut Tensor<F>,
    epsilon: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= positions_of::<F>(x) {
        terminate!();
    }
    let count = gain.len();
    let in_x = channels_of::<F>(x, ABSOLUTE_POS);
    let in_sums = channels_of::<F>(sums, ABSOLUTE_POS);
    let in_y = channels_of::<F>(&*y, ABSOLUTE_POS);
    let divisor = N::cast_from(count as u32);
    let mut mean = N::new(0.0);
    for channel in 0..count {
        mean += gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel);
    }
    mean /= divisor;
    let mut centred = N::new(0.0);
    let mut squares = N::new(0.0);
    for channel in 0..count {
        let difference = gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel) - mean;
        centred += difference;
        squares += difference * difference;
    }
    let moments = moments_from::<N>(mean, centred, squares, divisor, epsilon.get::<N>());
    for channel in 0..count {
        let r = gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel);
        let u = normalized::<N>(r, &moments);
        let value = u * N::cast_from(gain[channel]) + N::cast_from(shift[channel]);
        y[in_y.at(channel)] = F::cast_from(value);
    }
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    sums: &Tensor<F>,
    bias: &Tensor<F>,
    gain: &Tensor<F>,
    gradient: &Tensor<F>,
    of_x: &mut Tensor<F>,
    of_h: &mut Tensor<F>,
    partials: &mut Tensor<N>,
    epsilon: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let count = gain.len();
    let inside = ABSOLUTE_POS < positions_of::<F>(x);
    let in_x = channels_of::<F>(x, ABSOLUTE_POS);
    let in_sums = channels_of::<F>(sums, ABSOLUTE_POS);
    let in_gradient = channels_of::<F>(gradient, ABSOLUTE_POS);
    let to_x = channels_of::<F>(&*of_x, ABSOLUTE_POS);
    let to_h = channels_of::<F>(&*of_h, ABSOLUTE_POS);
    let divisor = N::cast_from(count as u32);
    let mut mean = N::new(0.0);
    let mut centred = N::new(0.0);
    let mut squares = N::new(0.0);
    let mut weighted = N::new(0.0);
    let mut product = N::new(0.0);
    if inside {
        for channel in 0..count {
            mean += gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel);
        }
        mean /= divisor;
        for channel in 0..count {
            let difference = gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel) - mean;
            let of_y = N::cast_from(gradient[in_gradient.at(channel)]);
            let of_u = N::cast_from(gain[channel]) * of_y;
            centred += difference;
            squares += difference * difference;
            weighted += of_u;
            product += of_u * difference;
        }
    }
    let moments = moments_from::<N>(mean, centred, squares, divisor, epsilon.get::<N>());
    let found = backward_from::<N>(moments, weighted, product, divisor);
    let mut columns = columns::new_columns::<N>();
    for round in 0..count.div_ceil(CHANNELS) {
        #[unroll]
        for each in 0..CHANNELS {
            let channel = round * CHANNELS + each;
            let mut by_gain = N::new(0.0);
            let mut by_shift = N::new(0.0);
            let mut by_linear = N::new(0.0);
            let mut by_logit = N::new(0.0);
            if inside && channel < count {
                let r = gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel);
                by_shift = N::cast_from(gradient[in_gradient.at(channel)]);
                by_gain = by_shift * normalized::<N>(r, &found.moments);
                let of_r = gradient_of::<N>(r, N::cast_from(gain[channel]) * by_shift, &found);
                of_x[to_x.at(channel)] = F::cast_from(of_r);
                let logit = gate_of::<F, N>(sums, bias, &in_sums, channel + count);
                by_linear = of_r * sigmoid::<N>(logit);
                let linear = gate_of::<F, N>(sums, bias, &in_sums, channel);
                by_logit = by_linear * sigmoid::<N>(-logit) * linear;
                of_h[to_h.at(channel)] = F::cast_from(by_linear);
                of_h[to_h.at(channel + count)] = F::cast_from(by_logit);
            }
            columns::put::<N>(&mut columns, each, by_gain);
            columns::put::<N>(&mut columns, CHANNELS + each, by_shift);
            columns::put::<N>(&mut columns, 2 * CHANNELS + each, by_linear);
            columns::put::<N>(&mut columns, 3 * CHANNELS + each, by_logit);
        }
        columns::end_round::<N>(&mut columns, partials, round, count, KINDS);
    }
}

impl GatedNormOps for CubeBackend {
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
        check(operands!("gated_norm", x, c, weight, bias, gain, shift), before);
        let sums = sums::sums(activated(c, before), weight);
        let [bias, gain, shift] = [bias, gain, shift].map(into_contiguous);
        let shape @ [batch, _, height, width] = x.meta.shape().dims();
        let y = empty_images(&x, shape);
        let (count, units) = unit_each(&x, batch * height * width);
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &y.client,
            count,
            units,
            x.into_tensor_arg(),
            sums.into_tensor_arg(),
            bias.into_tensor_arg(),
            gain.into_tensor_arg(),
            shift.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            scalar(epsilon, y.dtype),
            storage,
            arithmetic,
        );
        y
    }
}

/// Gradients of `x` and `h`, and of gain, shift and bias, from the sums and the bias of the gate.
fn of_gate_and_norm(
    x: CubeTensor,
    (sums, bias): (CubeTensor, CubeTensor),
    gain: CubeTensor,
    gradient: CubeTensor,
    epsilon: f64,
) -> ([CubeTensor; 2], [CubeTensor; 3]) {
    let [bias, gain] = [bias, gain].map(into_contiguous);
    let shape @ [batch, channels, height, width] = x.meta.shape().dims();
    let of_x = empty_images(&x, shape);
    let of_h = empty_images(&x, [batch, 2 * channels, height, width]);
    let positions = batch * height * width;
    let partials = columns::partials_of(&x, KINDS * channels, positions);
    let (count, units) = unit_each(&x, positions.max(1));
    let (storage, arithmetic) = types(x.dtype);
    backward_kernel::launch(
        &of_x.client,
        count,
        units,
        x.into_tensor_arg(),
        sums.into_tensor_arg(),
        bias.into_tensor_arg(),
        gain.into_tensor_arg(),
        gradient.into_tensor_arg(),
        of_x.clone().into_tensor_arg(),
        of_h.clone().into_tensor_arg(),
        partials.clone().into_tensor_arg(),
        scalar(epsilon, of_x.dtype),
        storage,
        arithmetic,
    );
    let of_channels = || Shape::new([1, channels, 1, 1]);
    let shapes = [of_channels(), of_channels(), Shape::new([2 * channels])];
    let of_parameters = columns::totals(partials, &of_x, shapes);
    ([of_x, of_h], of_parameters)
}

impl GatedNormGradient for CubeBackend {
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
        check(operands!("gated_norm_backward", x, c, weight, bias, gain, gradient), before);
        let v = activated(c.clone(), before);
        let gate = (sums::sums(v.clone(), weight.clone()), bias);
        let ([of_x, of_h], [of_gain, of_shift, of_bias]) =
            of_gate_and_norm(x, gate, gain, gradient, epsilon);
        let of_weight = into_contiguous(sums::of_weight(v.clone(), weight.clone(), of_h.clone()));
        let of_v = sums::of_input(v, weight, of_h);
        let of_c = match before {
            PreActivation::Identity => of_v,
            PreActivation::ConcatElu => Self::concat_elu_backward(c, of_v),
        };
        (of_x, of_c, of_weight, of_bias, of_gain, of_shift)
    }
}
