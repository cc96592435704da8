//! The operation on tensors of burn's GPU backends.
//! ```text
//! v = before(c)          h = conv(v)          r = x + h_1..F·σ(h_F+1..2F)          y = norm(r)
//! ```
//! The activation is the kernel of [`concat_elu`](crate::kernel::concat_elu), and the sums of the
//! convolution are burn's. Everything stays with the channels on the last axis in memory, as burn's
//! convolutions read and write them. The kernels below follow. As in
//! [`channel_norm`](crate::kernel::channel_norm), one unit computes all channels of one position,
//! and a cube sums the gradients of one channel's gain and shift.
//!
//! | launch | reads | writes |
//! |---|---|---|
//! | forward | `x`, `h` before its bias, bias, gain, shift; `r` twice | `r` in the memory of `y`, then `y` |
//! | backward | `x`, `h` twice, gain and the gradient of `y` twice; `r` twice | `r`, statistics, gradients of `x` and `h` |
//! | backward | `r`, the gradient of `y`, the statistics | gradients of gain and shift |
//!
//! A row of the table is a launch. In the first two, a unit reads back only the `r` that it has
//! written itself. The backward pass recomputes `v`, `h` and `r`, and frees them and the gradients
//! of `v` and `h` when it ends. 16-bit types round `r` to their precision, as a separate gated
//! residual sum does.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::check;
use super::{GatedNormGradient, GatedNormOps};
use crate::kernel::channel_norm::cube::{
    Channels, backward_sums, channels_of, gradient_of, moments, normalized, of_parameters,
    positions_of, statistics_of, write_moments,
};
use crate::kernel::concat_elu::ConcatEluGradient;
use crate::kernel::conv2d::cube::{activated, sums};
use crate::kernel::conv2d::{self, ConvStages, PreActivation};
use crate::kernel::cube::{empty_images, scalar, sigmoid, types, unit_each};
use crate::kernel::operands::operands;

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

/// `r` of one channel, in the type of the tensors.
#[cube]
fn gated_sum<F: Float, N: Float>(
    x: &Tensor<F>,
    sums: &Tensor<F>,
    bias: &Tensor<F>,
    in_x: &Channels,
    in_sums: &Channels,
    channel: usize,
) -> F {
    let linear = gate_of::<F, N>(sums, bias, in_sums, channel);
    let gate = sigmoid::<N>(gate_of::<F, N>(sums, bias, in_sums, channel + x.shape(1)));
    F::cast_from(N::cast_from(x[in_x.at(channel)]) + linear * gate)
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
    let mut sum = N::new(0.0);
    for channel in 0..count {
        let r = gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel);
        sum += N::cast_from(r);
        y[in_y.at(channel)] = r;
    }
    let moments = moments::<F, N>(&*y, &in_y, sum, epsilon.get::<N>());
    for channel in 0..count {
        let index = in_y.at(channel);
        let u = normalized::<N>(N::cast_from(y[index]), &moments);
        let value = u * N::cast_from(gain[channel]) + N::cast_from(shift[channel]);
        y[index] = F::cast_from(value);
    }
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    sums: &Tensor<F>,
    bias: &Tensor<F>,
    gain: &Tensor<F>,
    gradient: &Tensor<F>,
    r: &mut Tensor<F>,
    statistics: &mut Tensor<N>,
    of_x: &mut Tensor<F>,
    of_h: &mut Tensor<F>,
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
    let in_r = channels_of::<F>(&*r, ABSOLUTE_POS);
    let in_gradient = channels_of::<F>(gradient, ABSOLUTE_POS);
    let mut sum = N::new(0.0);
    for channel in 0..count {
        let here = gated_sum::<F, N>(x, sums, bias, &in_x, &in_sums, channel);
        sum += N::cast_from(here);
        r[in_r.at(channel)] = here;
    }
    let epsilon = epsilon.get::<N>();
    let found = backward_sums::<F, N>(&*r, gain, gradient, &in_r, &in_gradient, sum, epsilon);
    write_moments::<N>(statistics, ABSOLUTE_POS, &found.moments);
    // `of_x` and `of_h` are written in the order of `r`.
    let to_h = channels_of::<F>(&*of_h, ABSOLUTE_POS);
    for channel in 0..count {
        let of_u = N::cast_from(gain[channel]) * N::cast_from(gradient[in_gradient.at(channel)]);
        let of_r = gradient_of::<N>(N::cast_from(r[in_r.at(channel)]), of_u, &found);
        of_x[in_r.at(channel)] = F::cast_from(of_r);
        let logit = gate_of::<F, N>(sums, bias, &in_sums, channel + count);
        let through = of_r * sigmoid::<N>(logit);
        let closed = sigmoid::<N>(-logit);
        of_h[to_h.at(channel)] = F::cast_from(through);
        let of_logit = through * closed * gate_of::<F, N>(sums, bias, &in_sums, channel);
        of_h[to_h.at(channel + count)] = F::cast_from(of_logit);
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

/// Gradients of `x`, `h`, gain and shift, from the sums and the bias of the gate.
fn of_gate_and_norm(
    x: CubeTensor,
    (sums, bias): (CubeTensor, CubeTensor),
    gain: CubeTensor,
    gradient: CubeTensor,
    epsilon: f64,
) -> [CubeTensor; 4] {
    let [bias, gain] = [bias, gain].map(into_contiguous);
    let shape @ [batch, channels, height, width] = x.meta.shape().dims();
    let (r, of_x) = (empty_images(&x, shape), empty_images(&x, shape));
    let statistics = statistics_of(&x);
    let of_h = empty_images(&x, [batch, 2 * channels, height, width]);
    let (count, units) = unit_each(&x, batch * height * width);
    let (storage, arithmetic) = types(x.dtype);
    backward_kernel::launch(
        &of_x.client,
        count,
        units,
        x.into_tensor_arg(),
        sums.into_tensor_arg(),
        bias.into_tensor_arg(),
        gain.into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        r.clone().into_tensor_arg(),
        statistics.clone().into_tensor_arg(),
        of_x.clone().into_tensor_arg(),
        of_h.clone().into_tensor_arg(),
        scalar(epsilon, of_x.dtype),
        storage,
        arithmetic,
    );
    let (of_gain, of_shift) = of_parameters(r, gradient, statistics);
    [of_x, of_h, of_gain, of_shift]
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
        let [of_x, of_h, of_gain, of_shift] = of_gate_and_norm(x, gate, gain, gradient, epsilon);
        let stages = ConvStages::preceded_by(PreActivation::Identity);
        let (of_bias, ..) =
            conv2d::cube::of_parameters(&weight, of_h.clone(), of_h.clone(), None, stages);
        let of_weight = into_contiguous(sums::of_weight(v.clone(), weight.clone(), of_h.clone()));
        let of_v = sums::of_input(v, weight, of_h);
        let of_c = match before {
            PreActivation::Identity => of_v,
            PreActivation::ConcatElu => Self::concat_elu_backward(c, of_v),
        };
        (of_x, of_c, of_weight, of_bias, of_gain, of_shift)
    }
}
