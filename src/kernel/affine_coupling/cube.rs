//! The operation on tensors of burn's GPU backends. One unit computes one element of `z`, or of the
//! gradient of `x` with both parameters'. The log-determinant of an example is a sum of one unit
//! where an example is small, and of one cube where it is not.

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::{AffineCouplingGradient, AffineCouplingOps};
use super::{AffineForm, check, check_log_det, has_kernel};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{UNITS, bounded, cube_each, empty, log1p, sigmoid, types, unit_each};
use crate::kernel::operands::operands;

/// Elements of an example up to which one unit sums them: a cube would leave most of its units
/// without an element.
const FEW: usize = 64;

/// `e^ℓ` and `ℓ′`.
#[cube]
fn scale<N: Float>(s: N, #[comptime] form: AffineForm) -> (N, N) {
    let one = N::new(1.0);
    match form {
        AffineForm::Exponential => {
            let (log_scale, slope) = bounded::<N>(s);
            (N::exp(log_scale), slope)
        }
        AffineForm::Sigmoid => {
            let v = s + N::new(2.0);
            (sigmoid::<N>(v), sigmoid::<N>(-v))
        }
        AffineForm::Bounded => {
            let v = s + N::new(2.0);
            let (open, closed) = (sigmoid::<N>(v), sigmoid::<N>(-v));
            (N::new(0.5) * (one + open), open * closed / (one + open))
        }
        AffineForm::Normal => (N::exp(-s), -one),
        AffineForm::Additive => (one, N::new(0.0)),
    }
}

/// `e^−ℓ`.
#[cube]
fn inverse_scale<N: Float>(s: N, #[comptime] form: AffineForm) -> N {
    let one = N::new(1.0);
    match form {
        AffineForm::Exponential => {
            let (log_scale, _) = bounded::<N>(s);
            N::exp(-log_scale)
        }
        // At least 1. It is infinite where the plain operations are, too.
        AffineForm::Sigmoid => one + N::exp(-(s + N::new(2.0))),
        AffineForm::Bounded => N::new(2.0) / (one + sigmoid::<N>(s + N::new(2.0))),
        AffineForm::Normal => N::exp(s),
        AffineForm::Additive => one,
    }
}

/// `ℓ`.
#[cube]
fn log_scale<N: Float>(s: N, #[comptime] form: AffineForm) -> N {
    match form {
        AffineForm::Exponential => {
            let (log_scale, _) = bounded::<N>(s);
            log_scale
        }
        AffineForm::Sigmoid => {
            let v = s + N::new(2.0);
            N::min(v, N::new(0.0)) - log1p::<N>(N::exp(-N::abs(v)))
        }
        // ½(1 + σ(v)) = 1 − ½σ(−v), whose small difference from 1 stays accurate.
        AffineForm::Bounded => log1p::<N>(N::new(-0.5) * sigmoid::<N>(-(s + N::new(2.0)))),
        AffineForm::Normal => -s,
        AffineForm::Additive => N::new(0.0),
    }
}

/// `ℓ′`.
#[cube]
fn slope<N: Float>(s: N, #[comptime] form: AffineForm) -> N {
    let (_, slope) = scale::<N>(s, form);
    slope
}

/// `a·t` and `b·t`: what is added before the scale and after it. A product of 0 and an infinite
/// shift would be NaN.
#[cube]
fn shifts<N: Float>(t: N, #[comptime] form: AffineForm) -> (N, N) {
    match form {
        AffineForm::Exponential | AffineForm::Additive => (N::new(0.0), t),
        AffineForm::Sigmoid | AffineForm::Bounded => (t, N::new(0.0)),
        AffineForm::Normal => (-t, N::new(0.0)),
    }
}

/// Where an element of an example has its parameters.
#[derive(CubeType, Clone, Copy)]
struct Place {
    /// Whether the law transforms the element.
    within: bool,
    /// The place of `s` in theta, or of any element of it.
    s: usize,
    /// The place of `t`.
    t: usize,
}

/// `length` elements an example, of which `dims` from `start` on have parameters.
#[cube]
fn place(element: usize, length: usize, start: usize, dims: usize) -> Place {
    let (example, at) = (element / length, element % length);
    let within = at >= start && at < start + dims;
    let s = example * 2 * dims + select(within, at - start, 0);
    Place { within, s, t: s + dims }
}

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    z: &mut Tensor<F>,
    length: u32,
    start: u32,
    dims: u32,
    #[comptime] form: AffineForm,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, length as usize, start as usize, dims as usize);
    if place.within {
        let (before, after) = shifts::<N>(N::cast_from(theta[place.t]), form);
        let (scale, _) = scale::<N>(N::cast_from(theta[place.s]), form);
        let sum = N::cast_from(x[ABSOLUTE_POS]) + before;
        z[ABSOLUTE_POS] = F::cast_from(sum * scale + after);
    } else {
        z[ABSOLUTE_POS] = x[ABSOLUTE_POS];
    }
}

#[cube(launch)]
fn inverse_kernel<F: Float, N: Float>(
    z: &Tensor<F>,
    theta: &Tensor<F>,
    x: &mut Tensor<F>,
    length: u32,
    start: u32,
    dims: u32,
    #[comptime] form: AffineForm,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= z.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, length as usize, start as usize, dims as usize);
    if place.within {
        let (before, after) = shifts::<N>(N::cast_from(theta[place.t]), form);
        let scale = inverse_scale::<N>(N::cast_from(theta[place.s]), form);
        let difference = N::cast_from(z[ABSOLUTE_POS]) - after;
        x[ABSOLUTE_POS] = F::cast_from(difference * scale - before);
    } else {
        x[ABSOLUTE_POS] = z[ABSOLUTE_POS];
    }
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    gradient: &Tensor<F>,
    of_x: &mut Tensor<F>,
    of_theta: &mut Tensor<F>,
    length: u32,
    start: u32,
    dims: u32,
    #[comptime] form: AffineForm,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, length as usize, start as usize, dims as usize);
    if place.within {
        let (before, _) = shifts::<N>(N::cast_from(theta[place.t]), form);
        let (a, b) = shifts::<N>(N::new(1.0), form);
        let (scale, slope) = scale::<N>(N::cast_from(theta[place.s]), form);
        let sum = N::cast_from(x[ABSOLUTE_POS]) + before;
        let of_z = N::cast_from(gradient[ABSOLUTE_POS]);
        of_x[ABSOLUTE_POS] = F::cast_from(of_z * scale);
        of_theta[place.s] = F::cast_from(of_z * sum * scale * slope);
        of_theta[place.t] = F::cast_from(of_z * (a * scale + b));
    } else {
        of_x[ABSOLUTE_POS] = gradient[ABSOLUTE_POS];
    }
}

#[cube(launch)]
fn log_det_kernel<F: Float, N: Float>(
    theta: &Tensor<F>,
    log_det: &mut Tensor<F>,
    dims: u32,
    #[comptime] form: AffineForm,
    #[comptime] units: usize,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (example, unit) = (ABSOLUTE_POS / units, ABSOLUTE_POS % units);
    let inside = example < log_det.len();
    let dims = dims as usize;
    let mut sum = N::new(0.0);
    // Units without an example have to reach the sum of all units, too.
    let mut at = select(inside, unit, dims);
    while at < dims {
        sum += log_scale::<N>(N::cast_from(theta[example * 2 * dims + at]), form);
        at += units;
    }
    // The units of a cube share an example, or each has its own.
    if comptime!(units > 1) {
        sum = sum_of_units::<N>(sum);
    }
    if unit == 0 && inside {
        log_det[example] = F::cast_from(sum);
    }
}

#[cube(launch)]
fn log_det_backward_kernel<F: Float, N: Float>(
    theta: &Tensor<F>,
    gradient: &Tensor<F>,
    of_theta: &mut Tensor<F>,
    dims: u32,
    #[comptime] form: AffineForm,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= theta.len() {
        terminate!();
    }
    let row = ABSOLUTE_POS / dims as usize;
    if row % 2 == 1 {
        of_theta[ABSOLUTE_POS] = F::cast_from(N::new(0.0));
    } else {
        let slope = slope::<N>(N::cast_from(theta[ABSOLUTE_POS]), form);
        of_theta[ABSOLUTE_POS] = F::cast_from(slope * N::cast_from(gradient[row / 2]));
    }
}

impl AffineCouplingOps for CubeBackend {
    fn affine_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        has_kernel(form);
        check(operands!("affine_coupling", x, theta), "x", form, &range);
        let (x, theta) = (into_contiguous(x), into_contiguous(theta));
        let shape @ [batch, channels, positions] = x.meta.shape().dims();
        let z = empty(&x, shape);
        let (count, units) = unit_each(&x, batch * channels * positions);
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &z.client,
            count,
            units,
            x.into_tensor_arg(),
            theta.into_tensor_arg(),
            z.clone().into_tensor_arg(),
            (channels * positions) as u32,
            (range.start * positions) as u32,
            (range.len() * positions) as u32,
            form,
            storage,
            arithmetic,
        );
        z
    }

    fn affine_coupling_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        has_kernel(form);
        check(operands!("affine_coupling_inverse", z, theta), "z", form, &range);
        let (z, theta) = (into_contiguous(z), into_contiguous(theta));
        let shape @ [batch, channels, positions] = z.meta.shape().dims();
        let x = empty(&z, shape);
        let (count, units) = unit_each(&z, batch * channels * positions);
        let (storage, arithmetic) = types(z.dtype);
        inverse_kernel::launch(
            &x.client,
            count,
            units,
            z.into_tensor_arg(),
            theta.into_tensor_arg(),
            x.clone().into_tensor_arg(),
            (channels * positions) as u32,
            (range.start * positions) as u32,
            (range.len() * positions) as u32,
            form,
            storage,
            arithmetic,
        );
        x
    }

    fn affine_log_det(theta: FloatTensor<Self>, form: AffineForm) -> FloatTensor<Self> {
        check_log_det(operands!("affine_log_det", theta), form);
        let theta = into_contiguous(theta);
        let [batch, _, dims] = theta.meta.shape().dims();
        let log_det = empty(&theta, [batch]);
        let (grid, units) = if dims <= FEW {
            (unit_each(&theta, batch), 1)
        } else {
            (cube_each(&theta, batch), UNITS as usize)
        };
        let (storage, arithmetic) = types(theta.dtype);
        log_det_kernel::launch(
            &log_det.client,
            grid.0,
            grid.1,
            theta.into_tensor_arg(),
            log_det.clone().into_tensor_arg(),
            dims as u32,
            form,
            units,
            storage,
            arithmetic,
        );
        log_det
    }
}

impl AffineCouplingGradient for CubeBackend {
    fn affine_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        has_kernel(form);
        check(operands!("affine_coupling_backward", x, theta, gradient), "x", form, &range);
        let [x, theta, gradient] = [x, theta, gradient].map(into_contiguous);
        let shape @ [batch, channels, positions] = x.meta.shape().dims();
        let (of_x, of_theta) = (empty(&x, shape), empty(&x, theta.meta.shape().clone()));
        let (count, units) = unit_each(&x, batch * channels * positions);
        let (storage, arithmetic) = types(x.dtype);
        backward_kernel::launch(
            &of_x.client,
            count,
            units,
            x.into_tensor_arg(),
            theta.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_x.clone().into_tensor_arg(),
            of_theta.clone().into_tensor_arg(),
            (channels * positions) as u32,
            (range.start * positions) as u32,
            (range.len() * positions) as u32,
            form,
            storage,
            arithmetic,
        );
        (of_x, of_theta)
    }

    fn affine_log_det_backward(
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
    ) -> FloatTensor<Self> {
        check_log_det(operands!("affine_log_det_backward", theta, gradient), form);
        let (theta, gradient) = (into_contiguous(theta), into_contiguous(gradient));
        let shape @ [batch, n_params, dims] = theta.meta.shape().dims();
        let of_theta = empty(&theta, shape);
        let (count, units) = unit_each(&theta, batch * n_params * dims);
        let (storage, arithmetic) = types(theta.dtype);
        log_det_backward_kernel::launch(
            &of_theta.client,
            count,
            units,
            theta.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_theta.clone().into_tensor_arg(),
            dims as u32,
            form,
            storage,
            arithmetic,
        );
        of_theta
    }
}
