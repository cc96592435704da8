//! The operation on tensors of burn's GPU backends. One unit computes one element of `x`; a second
//! launch sums the log-derivatives of each example.

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::{MixtureCouplingGradient, MixtureCouplingOps, check};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{UNITS, cube_each, empty, scalar, types, unit_each};
use crate::kernel::mixture_logistic::cube::{gradients, image, place};
use crate::kernel::mixture_logistic::n_components;
use crate::kernel::operands::operands;

/// The index of an element in the transformed part of a batch, `[B, dims]`; at least `B·dims` for
/// elements outside of it. `first` is the first transformed element of an example.
#[cube]
fn transformed(element: usize, length: usize, first: usize, dims: usize, none: usize) -> usize {
    let (example, within) = (element / length, element % length);
    let inside = within >= first && within < first + dims;
    select(inside, example * dims + within - first, none)
}

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    row: &mut Tensor<F>,
    log_derivative: &mut Tensor<F>,
    first: u32,
    n_components: u32,
    min_log_scale: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let dims = log_derivative.shape(1);
    let (length, none) = (x.shape(1) * x.shape(2), log_derivative.len());
    let index = transformed(ABSOLUTE_POS, length, first as usize, dims, none);
    if index < none {
        let place = place(index, dims, n_components as usize);
        let x_here = N::cast_from(x[ABSOLUTE_POS]);
        let (z, log) = image::<F, N>(theta, &place, x_here, min_log_scale.get::<N>());
        row[ABSOLUTE_POS] = F::cast_from(z);
        log_derivative[index] = F::cast_from(log);
    } else {
        row[ABSOLUTE_POS] = x[ABSOLUTE_POS];
    }
}

/// The log-determinants, behind the `elements` of `z` in the row. A cube sums one example.
#[cube(launch)]
fn log_det_kernel<F: Float, N: Float>(
    log_derivative: &Tensor<F>,
    row: &mut Tensor<F>,
    elements: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (batch, dims) = (log_derivative.shape(0), log_derivative.shape(1));
    let mut sum = N::new(0.0);
    // The grid may have more cubes than there are examples.
    if CUBE_POS < batch {
        let mut index = UNIT_POS as usize;
        while index < dims {
            sum += N::cast_from(log_derivative[CUBE_POS * dims + index]);
            index += UNITS as usize;
        }
    }
    let sum = sum_of_units::<N>(sum);
    if UNIT_POS == 0 && CUBE_POS < batch {
        row[elements as usize + CUBE_POS] = F::cast_from(sum);
    }
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    gradient: &Tensor<F>,
    x_gradient: &mut Tensor<F>,
    theta_gradient: &mut Tensor<F>,
    first: u32,
    n_components: u32,
    min_log_scale: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let dims = theta.shape(2);
    let (length, none) = (x.shape(1) * x.shape(2), x.shape(0) * dims);
    let index = transformed(ABSOLUTE_POS, length, first as usize, dims, none);
    if index < none {
        let place = place(index, dims, n_components as usize);
        let by_x = gradients::<F, N>(
            theta,
            theta_gradient,
            &place,
            N::cast_from(x[ABSOLUTE_POS]),
            N::cast_from(gradient[ABSOLUTE_POS]),
            N::cast_from(gradient[x.len() + ABSOLUTE_POS / length]),
            min_log_scale.get::<N>(),
        );
        x_gradient[ABSOLUTE_POS] = F::cast_from(by_x);
    } else {
        x_gradient[ABSOLUTE_POS] = gradient[ABSOLUTE_POS];
    }
}

impl MixtureCouplingOps for CubeBackend {
    fn mixture_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        range: Range<usize>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        check(operands!("mixture_coupling", x, theta), &range);
        let [x, theta] = [x, theta].map(into_contiguous);
        let [batch, channels, positions] = x.meta.shape().dims();
        let (elements, dims) = (batch * channels * positions, range.len() * positions);
        let (row, log_derivative) = (empty(&x, [elements + batch]), empty(&x, [batch, dims]));
        let k = n_components(theta.meta.shape()[1]);
        let (storage, arithmetic) = types(x.dtype);
        let (count, units) = unit_each(&row, elements);
        forward_kernel::launch(
            &row.client,
            count,
            units,
            x.into_tensor_arg(),
            theta.into_tensor_arg(),
            row.clone().into_tensor_arg(),
            log_derivative.clone().into_tensor_arg(),
            (range.start * positions) as u32,
            k as u32,
            scalar(min_log_scale, row.dtype),
            storage,
            arithmetic,
        );
        let (count, units) = cube_each(&row, batch);
        log_det_kernel::launch(
            &row.client,
            count,
            units,
            log_derivative.into_tensor_arg(),
            row.clone().into_tensor_arg(),
            elements as u32,
            storage,
            arithmetic,
        );
        row
    }
}

impl MixtureCouplingGradient for CubeBackend {
    fn mixture_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        range: Range<usize>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("mixture_coupling_backward", x, theta, gradient), &range);
        let [x, theta, gradient] = [x, theta, gradient].map(into_contiguous);
        let [batch, channels, positions] = x.meta.shape().dims();
        let x_gradient = empty(&x, [batch, channels, positions]);
        let theta_gradient = empty(&theta, theta.meta.shape().clone());
        let k = n_components(theta.meta.shape()[1]);
        let (storage, arithmetic) = types(x.dtype);
        let (count, units) = unit_each(&x, batch * channels * positions);
        backward_kernel::launch(
            &x_gradient.client,
            count,
            units,
            x.into_tensor_arg(),
            theta.into_tensor_arg(),
            gradient.into_tensor_arg(),
            x_gradient.clone().into_tensor_arg(),
            theta_gradient.clone().into_tensor_arg(),
            (range.start * positions) as u32,
            k as u32,
            scalar(min_log_scale, x_gradient.dtype),
            storage,
            arithmetic,
        );
        (x_gradient, theta_gradient)
    }
}
