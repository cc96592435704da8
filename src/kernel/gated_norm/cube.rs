//! The operation on tensors of burn's GPU backends.
//! ```text
//! v = before(c)          h = conv(v)          r = x + h_1..F·σ(h_F+1..2F)          y = norm(r)
//! ```
//! The activation is the kernel of [`concat_elu`](crate::kernel::concat_elu), and the convolution
//! is burn's, in the type of the tensors. Its result has the channels on the last axis in memory
//! and is copied once to the order of `x`. The kernels below follow. As in
//! [`channel_norm`](crate::kernel::channel_norm), one unit computes all channels of one position,
//! and a cube sums the gradients of one channel's gain and shift.
//!
//! | launch | reads | writes |
//! |---|---|---|
//! | forward | `x`, `h`, gain, shift; `r` twice | `r` in the memory of `y`, then `y` |
//! | backward | `x`, `h` twice, gain and the gradient of `y` twice; `r` twice | `r`, statistics, gradients of `x` and `h` |
//! | backward | `r`, the gradient of `y`, the statistics | gradients of gain and shift |
//!
//! A row of the table is a launch. In the first two, a unit reads back only the `r` that it has
//! written itself. The backward pass recomputes `v`, `h` and `r`, and frees them and the gradients
//! of `v` and `h` when it ends. 16-bit types round `r` to their precision, as a separate gated
//! residual sum does.

use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::ops::ConvOptions;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::check;
use super::{GatedNormGradient, GatedNormOps};
use crate::kernel::channel_norm::cube::{
    backward_sums, channels_of, gradient_of, moments, normalized, of_parameters, statistics_of,
    write_moments,
};
use crate::kernel::concat_elu::{ConcatEluGradient, ConcatEluOps};
use crate::kernel::conv2d::PreActivation;
use crate::kernel::cube::{empty, first_half, scalar, sigmoid, types, unit_each};
use crate::kernel::operands::operands;

/// `r` of one element, in the type of the tensors. `length` is that of an example of `x`.
#[cube]
fn gated_sum<F: Float, N: Float>(x: &Tensor<F>, h: &Tensor<F>, element: usize, length: usize) -> F {
    let linear = first_half(element, length);
    let gate = sigmoid::<N>(N::cast_from(h[linear + length]));
    F::cast_from(N::cast_from(x[element]) + N::cast_from(h[linear]) * gate)
}

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    h: &Tensor<F>,
    gain: &Tensor<F>,
    shift: &Tensor<F>,
    y: &mut Tensor<F>,
    positions: u32,
    epsilon: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (count, positions) = (gain.len(), positions as usize);
    if ABSOLUTE_POS >= x.len() / count {
        terminate!();
    }
    let channels = channels_of(ABSOLUTE_POS, count, positions);
    let mut sum = N::new(0.0);
    for channel in 0..count {
        let index = channels.at(channel);
        let r = gated_sum::<F, N>(x, h, index, count * positions);
        sum += N::cast_from(r);
        y[index] = r;
    }
    let moments = moments::<F, N>(&*y, &channels, sum, epsilon.get::<N>());
    for channel in 0..count {
        let index = channels.at(channel);
        let u = normalized::<N>(N::cast_from(y[index]), &moments);
        let value = u * N::cast_from(gain[channel]) + N::cast_from(shift[channel]);
        y[index] = F::cast_from(value);
    }
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    h: &Tensor<F>,
    gain: &Tensor<F>,
    gradient: &Tensor<F>,
    r: &mut Tensor<F>,
    statistics: &mut Tensor<N>,
    of_x: &mut Tensor<F>,
    of_h: &mut Tensor<F>,
    positions: u32,
    epsilon: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (count, positions) = (gain.len(), positions as usize);
    if ABSOLUTE_POS >= x.len() / count {
        terminate!();
    }
    let length = count * positions;
    let channels = channels_of(ABSOLUTE_POS, count, positions);
    let mut sum = N::new(0.0);
    for channel in 0..count {
        let index = channels.at(channel);
        let here = gated_sum::<F, N>(x, h, index, length);
        sum += N::cast_from(here);
        r[index] = here;
    }
    let sums = backward_sums::<F, N>(&*r, gain, gradient, &channels, sum, epsilon.get::<N>());
    write_moments::<N>(statistics, ABSOLUTE_POS, &sums.moments);
    for channel in 0..count {
        let index = channels.at(channel);
        let of_u = N::cast_from(gain[channel]) * N::cast_from(gradient[index]);
        let of_r = gradient_of::<N>(N::cast_from(r[index]), of_u, &sums);
        of_x[index] = F::cast_from(of_r);
        let linear = first_half(index, length);
        let logit = N::cast_from(h[linear + length]);
        let through = of_r * sigmoid::<N>(logit);
        let closed = sigmoid::<N>(-logit);
        of_h[linear] = F::cast_from(through);
        of_h[linear + length] = F::cast_from(through * closed * N::cast_from(h[linear]));
    }
}

/// Stride 1 and zero padding that keeps the size.
fn options(weight: &CubeTensor) -> ConvOptions<2> {
    let [_, _, height, width] = weight.meta.shape().dims();
    ConvOptions::new([1, 1], [height / 2, width / 2], [1, 1], 1)
}

fn activated(c: CubeTensor, before: PreActivation) -> CubeTensor {
    match before {
        PreActivation::Identity => c,
        PreActivation::ConcatElu => CubeBackend::concat_elu(c),
    }
}

/// `h`.
fn gate(v: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
    let options = options(&weight);
    into_contiguous(<CubeBackend as ModuleOps<_>>::conv2d(v, weight, Some(bias), options))
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
        let h = gate(activated(c, before), weight, bias);
        let [x, gain, shift] = [x, gain, shift].map(into_contiguous);
        let shape @ [batch, _, height, width] = x.meta.shape().dims();
        let y = empty(&x, shape);
        let (count, units) = unit_each(&x, batch * height * width);
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &y.client,
            count,
            units,
            x.into_tensor_arg(),
            h.into_tensor_arg(),
            gain.into_tensor_arg(),
            shift.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            (height * width) as u32,
            scalar(epsilon, y.dtype),
            storage,
            arithmetic,
        );
        y
    }
}

/// Gradients of `x`, `h`, gain and shift.
fn of_gate_and_norm(
    x: CubeTensor,
    h: CubeTensor,
    gain: CubeTensor,
    gradient: CubeTensor,
    epsilon: f64,
) -> [CubeTensor; 4] {
    let [x, gain, gradient] = [x, gain, gradient].map(into_contiguous);
    let shape @ [batch, channels, height, width] = x.meta.shape().dims();
    let (r, of_x, statistics) = (empty(&x, shape), empty(&x, shape), statistics_of(&x));
    let of_h = empty(&x, [batch, 2 * channels, height, width]);
    let (count, units) = unit_each(&x, batch * height * width);
    let (storage, arithmetic) = types(x.dtype);
    backward_kernel::launch(
        &of_x.client,
        count,
        units,
        x.into_tensor_arg(),
        h.into_tensor_arg(),
        gain.into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        r.clone().into_tensor_arg(),
        statistics.clone().into_tensor_arg(),
        of_x.clone().into_tensor_arg(),
        of_h.clone().into_tensor_arg(),
        (height * width) as u32,
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
        let h = gate(v.clone(), weight.clone(), bias.clone());
        let [of_x, of_h, of_gain, of_shift] = of_gate_and_norm(x, h, gain, gradient, epsilon);
        let options = options(&weight);
        let of_bias = Self::conv2d_bias_backward(v.clone(), bias, of_h.clone());
        let of_weight =
            Self::conv2d_weight_backward(v.clone(), weight.clone(), of_h.clone(), options.clone());
        let of_v = Self::conv2d_x_backward(v, weight, of_h, options);
        let of_c = match before {
            PreActivation::Identity => of_v,
            PreActivation::ConcatElu => Self::concat_elu_backward(c, of_v),
        };
        (of_x, of_c, of_weight, of_bias, of_gain, of_shift)
    }
}
