//! The operation on tensors of burn's GPU backends. One unit computes one element of `z`, or of the
//! gradient of `x`. The gradients of shift and scale are sums over examples and positions: one cube
//! computes both of one channel.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::check;
use super::{ChannelAffineGradient, ChannelAffineOps};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{UNITS, cube_each, empty, types, unit_each};
use crate::kernel::operands::operands;

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    shift: &Tensor<F>,
    scale: &Tensor<F>,
    z: &mut Tensor<F>,
    positions: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let channel = ABSOLUTE_POS / positions as usize % shift.len();
    let sum = N::cast_from(x[ABSOLUTE_POS]) + N::cast_from(shift[channel]);
    z[ABSOLUTE_POS] = F::cast_from(sum * N::cast_from(scale[channel]));
}

#[cube(launch)]
fn of_x_kernel<F: Float, N: Float>(
    scale: &Tensor<F>,
    gradient: &Tensor<F>,
    of_x: &mut Tensor<F>,
    positions: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= gradient.len() {
        terminate!();
    }
    let channel = ABSOLUTE_POS / positions as usize % scale.len();
    let product = N::cast_from(gradient[ABSOLUTE_POS]) * N::cast_from(scale[channel]);
    of_x[ABSOLUTE_POS] = F::cast_from(product);
}

#[cube(launch)]
fn of_parameters_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    shift: &Tensor<F>,
    scale: &Tensor<F>,
    gradient: &Tensor<F>,
    of_shift: &mut Tensor<F>,
    of_scale: &mut Tensor<F>,
    positions: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (channel, channels, positions) = (CUBE_POS, shift.len(), positions as usize);
    if channel >= channels {
        terminate!();
    }
    let offset = N::cast_from(shift[channel]);
    let examples_and_positions = x.len() / channels;
    let mut sum = N::new(0.0);
    let mut product = N::new(0.0);
    let mut i = UNIT_POS as usize;
    while i < examples_and_positions {
        let element = (i / positions * channels + channel) * positions + i % positions;
        let of_z = N::cast_from(gradient[element]);
        sum += of_z;
        product += of_z * (N::cast_from(x[element]) + offset);
        i += comptime!(UNITS as usize);
    }
    let sum = sum_of_units::<N>(sum);
    let product = sum_of_units::<N>(product);
    if UNIT_POS == 0 {
        of_shift[channel] = F::cast_from(sum * N::cast_from(scale[channel]));
        of_scale[channel] = F::cast_from(product);
    }
}

/// Gradients of shift and scale, of contiguous operands.
fn of_parameters(
    [x, shift, scale, gradient]: [&CubeTensor; 4],
) -> (FloatTensor<CubeBackend>, FloatTensor<CubeBackend>) {
    let [_, channels, positions] = x.meta.shape().dims();
    let (of_shift, of_scale) = (empty(x, [channels]), empty(x, [channels]));
    let (count, units) = cube_each(x, channels);
    let (storage, arithmetic) = types(x.dtype);
    of_parameters_kernel::launch(
        &x.client,
        count,
        units,
        x.clone().into_tensor_arg(),
        shift.clone().into_tensor_arg(),
        scale.clone().into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        of_shift.clone().into_tensor_arg(),
        of_scale.clone().into_tensor_arg(),
        positions as u32,
        storage,
        arithmetic,
    );
    (of_shift, of_scale)
}

impl ChannelAffineOps for CubeBackend {
    fn channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        check(operands!("channel_affine", x, shift, scale));
        let [x, shift, scale] = [x, shift, scale].map(into_contiguous);
        let shape @ [_, _, positions] = x.meta.shape().dims();
        let z = empty(&x, shape);
        let (count, units) = unit_each(&x, shape.iter().product());
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &z.client,
            count,
            units,
            x.into_tensor_arg(),
            shift.into_tensor_arg(),
            scale.into_tensor_arg(),
            z.clone().into_tensor_arg(),
            positions as u32,
            storage,
            arithmetic,
        );
        z
    }
}

impl ChannelAffineGradient for CubeBackend {
    fn channel_affine_backward(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("channel_affine_backward", x, shift, scale, gradient));
        let operands @ [x, _, scale, gradient] = &[x, shift, scale, gradient].map(into_contiguous);
        let (of_shift, of_scale) = of_parameters(operands.each_ref());
        let shape @ [_, _, positions] = x.meta.shape().dims();
        let of_x = empty(x, shape);
        let (count, units) = unit_each(x, shape.iter().product());
        let (storage, arithmetic) = types(x.dtype);
        of_x_kernel::launch(
            &x.client,
            count,
            units,
            scale.clone().into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            of_x.clone().into_tensor_arg(),
            positions as u32,
            storage,
            arithmetic,
        );
        (of_x, of_shift, of_scale)
    }

    fn channel_affine_backward_of_parameters(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("channel_affine_backward", x, shift, scale, gradient));
        of_parameters([x, shift, scale, gradient].map(into_contiguous).each_ref())
    }
}
