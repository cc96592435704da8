//! The operation on tensors of burn's GPU backends: one unit computes one element of `y`, or both
//! gradients of one gate. Operands may have their axes in any order in memory; results have the
//! channels on the last axis in memory, as burn's convolutions read and write them.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use cubecl::prelude::*;

use super::{GatedResidualGradient, GatedResidualOps};
use super::{check, check_backward};
use crate::kernel::cube::{at_counted, empty_images, first_half, sigmoid, types, unit_each};
use crate::kernel::operands::operands;

/// Both halves of `h` for one gate. `element` counts those of `[B, H, W, channels]`.
#[cube]
fn gate_of<F: Float, N: Float>(h: &Tensor<F>, element: usize, channels: usize) -> (N, N) {
    let first = at_counted::<F>(h, element, channels);
    (N::cast_from(h[first]), N::cast_from(h[first + channels * h.stride(1)]))
}

/// `y`, `[B, H, W, C]`.
#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    h: &Tensor<F>,
    y: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let channels = x.shape(1);
    let (linear, logit) = gate_of::<F, N>(h, ABSOLUTE_POS, channels);
    let here = N::cast_from(x[at_counted::<F>(x, ABSOLUTE_POS, channels)]);
    y[ABSOLUTE_POS] = F::cast_from(here + linear * sigmoid::<N>(logit));
}

/// The gradient of `h`, `[B, H, W, 2C]`.
#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    h: &Tensor<F>,
    gradient: &Tensor<F>,
    of_h: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= of_h.len() / 2 {
        terminate!();
    }
    let channels = gradient.shape(1);
    let (linear, logit) = gate_of::<F, N>(h, ABSOLUTE_POS, channels);
    let here = N::cast_from(gradient[at_counted::<F>(gradient, ABSOLUTE_POS, channels)]);
    let through = here * sigmoid::<N>(logit);
    let first = first_half(ABSOLUTE_POS, channels);
    of_h[first] = F::cast_from(through);
    of_h[first + channels] = F::cast_from(through * sigmoid::<N>(-logit) * linear);
}

impl GatedResidualOps for CubeBackend {
    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self> {
        check(operands!("gated_residual", x, h));
        let shape = x.meta.shape().dims();
        let y = empty_images(&x, shape);
        let (count, units) = unit_each(&x, shape.iter().product());
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &y.client,
            count,
            units,
            x.into_tensor_arg(),
            h.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            storage,
            arithmetic,
        );
        y
    }
}

impl GatedResidualGradient for CubeBackend {
    fn gated_residual_backward(
        h: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        check_backward(operands!("gated_residual_backward", h, gradient));
        let shape = h.meta.shape().dims();
        let of_h = empty_images(&h, shape);
        let (count, units) = unit_each(&h, shape.iter().product::<usize>() / 2);
        let (storage, arithmetic) = types(h.dtype);
        backward_kernel::launch(
            &of_h.client,
            count,
            units,
            h.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_h.clone().into_tensor_arg(),
            storage,
            arithmetic,
        );
        of_h
    }
}
