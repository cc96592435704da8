//! The operation on tensors of burn's GPU backends: one unit computes one element of `y`, or both
//! gradients of one gate.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::{GatedResidualGradient, GatedResidualOps};
use super::{check, check_backward};
use crate::kernel::cube::{empty, first_half, sigmoid, types, unit_each};
use crate::kernel::operands::operands;

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    h: &Tensor<F>,
    y: &mut Tensor<F>,
    length: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let linear = first_half(ABSOLUTE_POS, length as usize);
    let gate = sigmoid::<N>(N::cast_from(h[linear + length as usize]));
    let sum = N::cast_from(x[ABSOLUTE_POS]) + N::cast_from(h[linear]) * gate;
    y[ABSOLUTE_POS] = F::cast_from(sum);
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    h: &Tensor<F>,
    gradient: &Tensor<F>,
    of_h: &mut Tensor<F>,
    length: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= gradient.len() {
        terminate!();
    }
    let linear = first_half(ABSOLUTE_POS, length as usize);
    let logit = N::cast_from(h[linear + length as usize]);
    let (gate, closed) = (sigmoid::<N>(logit), sigmoid::<N>(-logit));
    let through = N::cast_from(gradient[ABSOLUTE_POS]) * gate;
    of_h[linear] = F::cast_from(through);
    of_h[linear + length as usize] = F::cast_from(through * closed * N::cast_from(h[linear]));
}

impl GatedResidualOps for CubeBackend {
    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self> {
        check(operands!("gated_residual", x, h));
        let (x, h) = (into_contiguous(x), into_contiguous(h));
        let shape @ [batch, channels, height, width] = x.meta.shape().dims();
        let length = channels * height * width;
        let y = empty(&x, shape);
        let (count, units) = unit_each(&x, batch * length);
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &y.client,
            count,
            units,
            x.into_tensor_arg(),
            h.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            length as u32,
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
        let (h, gradient) = (into_contiguous(h), into_contiguous(gradient));
        let shape @ [batch, doubled, height, width] = h.meta.shape().dims();
        let length = doubled / 2 * height * width;
        let of_h = empty(&h, shape);
        let (count, units) = unit_each(&h, batch * length);
        let (storage, arithmetic) = types(h.dtype);
        backward_kernel::launch(
            &of_h.client,
            count,
            units,
            h.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_h.clone().into_tensor_arg(),
            length as u32,
            storage,
            arithmetic,
        );
        of_h
    }
}
