//! The kernels of the GPU backends. One unit computes one element, by a loop over its components
//! row by row, so that neighbouring units read neighbouring elements. `N` is the precision of the
//! arithmetic: that of the tensors, or f32 for 16-bit floats.
//!
//! Sums are computed in log space, each weight relative to the largest, as in the plain form.

mod mixture;

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

pub use self::mixture::{Place, place};
use self::mixture::{by_point, component, middle, negative, positive, sums};
use super::{MixtureLogisticGradient, MixtureLogisticOps};
use super::{check, n_components};
use crate::kernel::cube::{arithmetic as precision, bounded, empty, scalar, types, unit_each};
use crate::kernel::operands::operands;
use crate::tensor::float_limits::{largest_number, machine_epsilon};

/// Steps of the inverse after which an element counts as unsolved, as many as in the reference.
const MAX_STEPS: u32 = 512;

/// `z` and the log-derivative of one element.
#[cube]
pub fn image<F: Float, N: Float>(theta: &Tensor<F>, place: &Place, x: N, bound: N) -> (N, N) {
    let sums = sums::<F, N>(theta, place, x, bound);
    let (log_scale, _) = bounded::<N>(place.row::<F, N>(theta, 0));
    let z = N::exp(log_scale) * sums.t + place.row::<F, N>(theta, 1);
    (z, log_scale + sums.log_derivative)
}

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    output: &mut Tensor<F>,
    dims: u32,
    n_components: u32,
    min_log_scale: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, dims as usize, n_components as usize);
    let x_here = N::cast_from(x[ABSOLUTE_POS]);
    let (z, log_derivative) = image::<F, N>(theta, &place, x_here, min_log_scale.get::<N>());
    output[ABSOLUTE_POS] = F::cast_from(z);
    output[x.len() + ABSOLUTE_POS] = F::cast_from(log_derivative);
}

/// Writes the gradients of the parameters of one element, and returns that of `x`, from those of
/// its `z` and its log-derivative.
#[cube]
pub fn gradients<F: Float, N: Float>(
    theta: &Tensor<F>,
    theta_gradient: &mut Tensor<F>,
    place: &Place,
    x_here: N,
    by_z: N,
    by_log: N,
    bound: N,
) -> N {
    let (base, stride, k) = (place.base, place.stride, place.n_components);
    let sums = sums::<F, N>(theta, place, x_here, bound);
    let (log_scale, steepness) = bounded::<N>(place.row::<F, N>(theta, 0));
    let by_t = by_z * N::exp(log_scale);
    theta_gradient[base] = F::cast_from((by_t * sums.t + by_log) * steepness);
    theta_gradient[base + stride] = F::cast_from(by_z);
    let mut by_x = N::new(0.0);
    for i in 0..k {
        let c = component::<F, N>(theta, place, i, x_here, sums.max_logit, bound);
        let (plus, minus) =
            (N::exp(negative::<N>(c.u)) * c.share, N::exp(-positive::<N>(c.u)) * c.share);
        let low = (c.logit + negative::<N>(c.u)) - sums.below_max;
        let high = (c.logit - positive::<N>(c.u)) - sums.above_max;
        // Shares of this component in F, 1 − F, F' and the sum of the weights.
        let below = N::exp(low) * c.share / sums.below;
        let above = N::exp(high) * c.share / sums.above;
        // Each is relative to its largest, like the sums, so a single component has a share of
        // exactly 1.
        let shares = c.share * c.share;
        let rising_exponent = low - positive::<N>(c.u) - c.log_scale - sums.rising_max;
        let falling_exponent = high + negative::<N>(c.u) - c.log_scale - sums.falling_max;
        let (rising_rest, falling_rest) = (shares / sums.rising, shares / sums.falling);
        let falling_part = N::new(1.0) - sums.rising_part;
        let density = sums.rising_part * N::exp(rising_exponent) * rising_rest
            + falling_part * N::exp(falling_exponent) * falling_rest;
        let weight = N::exp(c.logit) / sums.weight;
        let by_logit = by_t * (below - above) + by_log * ((density - below) + (weight - above));
        let by_u = by_point::<N>(by_t, by_log, below, above, density, plus, minus);
        // u may be infinite where shares and tails have vanished.
        let by_u_times_u = select(by_u == N::new(0.0), by_u, c.u * by_u);
        let by_scale = select(c.free, -by_u_times_u - by_log * density, N::new(0.0));
        // The shares times e^−s are computed in their exponents, since a share may underflow where
        // its product does not. They are in units of the largest of them, so those of a single
        // component are still exactly 1.
        let steep_below = N::exp(low - c.log_scale) * (c.share / sums.below);
        let steep_above = N::exp(high - c.log_scale) * (c.share / sums.above);
        let steep_density = sums.rising_part * N::exp(rising_exponent - c.log_scale) * rising_rest
            + falling_part * N::exp(falling_exponent - c.log_scale) * falling_rest;
        let largest = N::max(N::max(steep_below, steep_above), steep_density);
        let unit = select(largest > N::new(0.0), largest, N::new(1.0));
        let (steep_below, steep_above) = (steep_below / unit, steep_above / unit);
        let by_mean = -unit
            * by_point::<N>(
                by_t,
                by_log,
                steep_below,
                steep_above,
                steep_density / unit,
                plus,
                minus,
            );
        by_x -= by_mean;
        theta_gradient[base + (2 + i) * stride] = F::cast_from(by_logit);
        theta_gradient[base + (2 + k + i) * stride] = F::cast_from(by_mean);
        theta_gradient[base + (2 + 2 * k + i) * stride] = F::cast_from(by_scale);
    }
    by_x
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    gradient: &Tensor<F>,
    x_gradient: &mut Tensor<F>,
    theta_gradient: &mut Tensor<F>,
    dims: u32,
    n_components: u32,
    min_log_scale: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, dims as usize, n_components as usize);
    let by_x = gradients::<F, N>(
        theta,
        theta_gradient,
        &place,
        N::cast_from(x[ABSOLUTE_POS]),
        N::cast_from(gradient[ABSOLUTE_POS]),
        N::cast_from(gradient[x.len() + ABSOLUTE_POS]),
        min_log_scale.get::<N>(),
    );
    x_gradient[ABSOLUTE_POS] = F::cast_from(by_x);
}

#[cube(launch)]
fn inverse_kernel<F: Float, N: Float>(
    z: &Tensor<F>,
    theta: &Tensor<F>,
    output: &mut Tensor<F>,
    dims: u32,
    n_components: u32,
    max_steps: u32,
    min_log_scale: InputScalar,
    epsilon: InputScalar,
    furthest: InputScalar,
    limit: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= z.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, dims as usize, n_components as usize);
    let k = place.n_components;
    let (bound, epsilon, furthest) =
        (min_log_scale.get::<N>(), epsilon.get::<N>(), furthest.get::<N>());
    let (log_scale, _) = bounded::<N>(place.row::<F, N>(theta, 0));
    let target = (N::cast_from(z[ABSOLUTE_POS]) - place.row::<F, N>(theta, 1)) * N::exp(-log_scale);
    // The exact bracket: at its ends all components are below the target, or above it. An end that
    // would overflow lies beyond every finite root. It is set to a quarter of the largest number,
    // which keeps the width of the bracket finite.
    let mut low = furthest;
    let mut high = -furthest;
    let log_furthest = N::ln(furthest);
    let log_size = N::ln(N::max(N::abs(target), N::new(1.0e-37)));
    let end = select(target < N::new(0.0), -furthest, furthest);
    for i in 0..k {
        let log_scale = max_nan(place.row::<F, N>(theta, 2 + 2 * k + i), bound);
        let root = N::exp(N::min(log_scale * N::new(0.5), log_furthest));
        let distance = select(log_scale + log_size > log_furthest, end, root * (root * target));
        let alone = place.row::<F, N>(theta, 2 + k + i) + distance;
        let alone = N::min(N::max(alone, -furthest), furthest);
        low = N::min(low, alone);
        high = N::max(high, alone);
    }
    let tolerance = (N::abs(target) + N::new(1.0)) * epsilon;
    let mut x = middle::<N>(low, high);
    let mut width = high - low;
    let bracketed = width <= N::new(2.0) * furthest && N::abs(target) < N::new(3.5) * furthest;
    let mut residual = width;
    let mut solved = !bracketed;
    let mut step = 0u32.runtime();
    while step < max_steps && !solved {
        let sums = sums::<F, N>(theta, &place, x, bound);
        residual = sums.t - target;
        if residual >= N::new(0.0) {
            high = x;
        }
        if residual <= N::new(0.0) {
            low = x;
        }
        let closed = high - low <= N::max(N::abs(low), N::abs(high)) * epsilon;
        solved = closed || N::abs(residual) <= tolerance;
        if !solved {
            let newton = -residual * N::exp(-sums.log_derivative);
            let next = x + newton;
            let inside = next >= low && next <= high;
            let shrinks = N::abs(newton) <= width * N::new(0.5);
            // Every eighth step halves the bracket, whatever the Newton steps do.
            let next = select(inside && shrinks && step % 8 != 7, next, middle::<N>(low, high));
            width = N::abs(next - x);
            x = next;
        }
        step += 1;
    }
    // A bracket that closed at its outermost end closed at the value that was set there, not at a
    // root.
    let inside = N::abs(x) < N::new(0.999) * furthest && N::abs(residual) < N::new(3.5) * furthest;
    let found = (inside || N::abs(residual) <= tolerance) && N::abs(x) <= limit.get::<N>();
    output[ABSOLUTE_POS] = F::cast_from(x);
    output[z.len() + ABSOLUTE_POS] = F::cast_from(residual);
    output[2 * z.len() + ABSOLUTE_POS] =
        F::cast_from(select(bracketed && solved && found, N::new(1.0), N::new(0.0)));
}

fn forward(
    x: FloatTensor<CubeBackend>,
    theta: FloatTensor<CubeBackend>,
    min_log_scale: f64,
) -> FloatTensor<CubeBackend> {
    check(operands!("mixture_logistic", x, theta), "x");
    x.assert_is_on_same_device(&theta);
    let (x, theta) = (into_contiguous(x), into_contiguous(theta));
    let [batch, dims] = x.meta.shape().dims();
    let k = n_components(theta.meta.shape()[1]);
    let output = empty(&x, [2, batch, dims]);
    let dtype = x.dtype;
    let (storage, arithmetic) = types(dtype);
    let (count, units) = unit_each(&output, batch * dims);
    forward_kernel::launch(
        &output.client,
        count,
        units,
        x.into_tensor_arg(),
        theta.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        dims as u32,
        k as u32,
        scalar(min_log_scale, dtype),
        storage,
        arithmetic,
    );
    output
}

fn backward(
    x: FloatTensor<CubeBackend>,
    theta: FloatTensor<CubeBackend>,
    gradient: FloatTensor<CubeBackend>,
    min_log_scale: f64,
) -> (FloatTensor<CubeBackend>, FloatTensor<CubeBackend>) {
    check(operands!("mixture_logistic_backward", x, theta, gradient), "x");
    let (x, theta, gradient) =
        (into_contiguous(x), into_contiguous(theta), into_contiguous(gradient));
    let [batch, dims] = x.meta.shape().dims();
    let k = n_components(theta.meta.shape()[1]);
    let x_gradient = empty(&x, x.meta.shape().clone());
    let theta_gradient = empty(&theta, theta.meta.shape().clone());
    let dtype = x.dtype;
    let (storage, arithmetic) = types(dtype);
    let (count, units) = unit_each(&x_gradient, batch * dims);
    backward_kernel::launch(
        &x_gradient.client,
        count,
        units,
        x.into_tensor_arg(),
        theta.into_tensor_arg(),
        gradient.into_tensor_arg(),
        x_gradient.clone().into_tensor_arg(),
        theta_gradient.clone().into_tensor_arg(),
        dims as u32,
        k as u32,
        scalar(min_log_scale, dtype),
        storage,
        arithmetic,
    );
    (x_gradient, theta_gradient)
}

fn inverse(
    z: FloatTensor<CubeBackend>,
    theta: FloatTensor<CubeBackend>,
    min_log_scale: f64,
) -> FloatTensor<CubeBackend> {
    check(operands!("mixture_logistic_inverse", z, theta), "z");
    z.assert_is_on_same_device(&theta);
    let (z, theta) = (into_contiguous(z), into_contiguous(theta));
    let [batch, dims] = z.meta.shape().dims();
    let k = n_components(theta.meta.shape()[1]);
    let output = empty(&z, [3, batch, dims]);
    let dtype = z.dtype;
    let (storage, arithmetic) = types(dtype);
    let (count, units) = unit_each(&output, batch * dims);
    inverse_kernel::launch(
        &output.client,
        count,
        units,
        z.into_tensor_arg(),
        theta.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        dims as u32,
        k as u32,
        MAX_STEPS,
        scalar(min_log_scale, dtype),
        scalar(machine_epsilon(precision(dtype)), dtype),
        scalar(0.25 * largest_number(precision(dtype)), dtype),
        scalar(0.25 * largest_number(dtype), dtype),
        storage,
        arithmetic,
    );
    output
}

impl MixtureLogisticOps for CubeBackend {
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        forward(x, theta, min_log_scale)
    }

    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        inverse(z, theta, min_log_scale)
    }
}

impl MixtureLogisticGradient for CubeBackend {
    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        backward(x, theta, gradient, min_log_scale)
    }
}
