//! The operation on tensors of burn's GPU backends. One unit computes one element, by loops over
//! its bins row by row, so that neighbouring units read neighbouring elements. Sizes and knots are
//! computed in each loop and not kept.

mod bins;

use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use self::bins::{
    Axis, Bin, Constants, ConstantsLaunch, Known, Place, found, inside, place, position, softmax,
};
use super::{SplineEnds, SplineShape, check};
use super::{SplineGradient, SplineOps};
use crate::kernel::cube::{empty, scalar, types, unit_each};
use crate::kernel::operands::operands;

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    output: &mut Tensor<F>,
    dims: u32,
    n_bins: u32,
    constants: &Constants,
    #[comptime] ends: SplineEnds,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, dims as usize, n_bins as usize, ends);
    let value = N::cast_from(x[ABSOLUTE_POS]);
    let within = inside::<N>(value, constants, ends);
    let inner = select(within, value, N::new(0.0));
    let bin = found::<F, N>(theta, &place, constants, inner, Known::X, ends);
    let (s, d, e) = (bin.s, bin.d, bin.e);
    let xi = position::<N>(inner, &bin.x);
    let rest = N::new(1.0) - xi;
    let (both, square, square_rest) = (xi * rest, xi * xi, rest * rest);
    let p = s * square + d * both;
    let q = s * (square + square_rest) + (d + e) * both;
    let u = e * square + N::new(2.0) * s * both + d * square_rest;
    let z = bin.y.left + bin.y.span * p / q;
    let log_derivative = N::new(2.0) * (N::ln(s) - N::ln(q)) + N::ln(u);
    output[ABSOLUTE_POS] = F::cast_from(select(within, z, value));
    output[x.len() + ABSOLUTE_POS] = F::cast_from(select(within, log_derivative, N::new(0.0)));
}

#[cube(launch)]
fn inverse_kernel<F: Float, N: Float>(
    z: &Tensor<F>,
    theta: &Tensor<F>,
    output: &mut Tensor<F>,
    dims: u32,
    n_bins: u32,
    constants: &Constants,
    #[comptime] ends: SplineEnds,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= z.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, dims as usize, n_bins as usize, ends);
    let value = N::cast_from(z[ABSOLUTE_POS]);
    let within = inside::<N>(value, constants, ends);
    let inner = select(within, value, N::new(0.0));
    let bin = found::<F, N>(theta, &place, constants, inner, Known::Z, ends);
    let twice = N::new(2.0) * bin.s;
    let eta = position::<N>(inner, &bin.y);
    let rest = N::new(1.0) - eta;
    let r = bin.d * rest - bin.e * eta;
    let t = N::sqrt(r * r + twice * twice * eta * rest);
    let (up, down) = (twice * eta, twice * rest);
    let right = r < N::new(0.0);
    let part = select(right, t - r, up);
    let xi = part / (part + select(right, down, t + r));
    output[ABSOLUTE_POS] = F::cast_from(select(within, bin.x.left + xi * bin.x.span, value));
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    theta: &Tensor<F>,
    gradient: &Tensor<F>,
    of_x: &mut Tensor<F>,
    of_theta: &mut Tensor<F>,
    dims: u32,
    n_bins: u32,
    constants: &Constants,
    #[comptime] ends: SplineEnds,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, dims as usize, n_bins as usize, ends);
    let k = place.n_bins;
    let (zero, one, two) = (N::new(0.0), N::new(1.0), N::new(2.0));
    let value = N::cast_from(x[ABSOLUTE_POS]);
    let within = inside::<N>(value, constants, ends);
    let inner = select(within, value, zero);
    let bin = found::<F, N>(theta, &place, constants, inner, Known::X, ends);
    let (s, d, e) = (bin.s, bin.d, bin.e);
    let xi = position::<N>(inner, &bin.x);
    let rest = one - xi;
    let (both, square, square_rest) = (xi * rest, xi * xi, rest * rest);
    let p = s * square + d * both;
    let p_rest = s * square_rest + e * both;
    let q = s * (square + square_rest) + (d + e) * both;
    let u = e * square + two * s * both + d * square_rest;

    let by_z = N::cast_from(gradient[ABSOLUTE_POS]);
    let by_log = select(within, N::cast_from(gradient[x.len() + ABSOLUTE_POS]), zero);
    // `γ_z h/q`, 0 outside. Products with `q` are divided by it once at a time: its square may
    // overflow.
    let by_z_of_q = select(within, by_z * bin.y.span / q, zero);
    let by_xi = by_z_of_q * s * (u / q)
        + by_log
            * (two * (e * xi - d * rest + s * (rest - xi)) / u
                - two * (rest - xi) * (d + e - two * s) / q);
    let by_s = by_z_of_q * both * ((e * square - d * square_rest) / q)
        + two * by_log * both * (one / u + (d + e) / q / s);
    let by_d = by_z_of_q * both * (p_rest / q) + by_log * (square_rest / u - two * both / q);
    let by_e = by_log * (square / u - two * both / q) - by_z_of_q * both * (p / q);

    of_x[ABSOLUTE_POS] = F::cast_from(select(within, by_xi / bin.x.span, by_z));
    let by_slope = by_s / bin.x.size;
    let within_z = select(within, by_z, zero);
    axis_gradient::<F, N>(
        theta,
        of_theta,
        &place,
        &bin.x_axis,
        &bin.x,
        by_slope * s - by_xi * rest / bin.x.span,
        -by_slope * s - by_xi * xi / bin.x.span,
    );
    axis_gradient::<F, N>(
        theta,
        of_theta,
        &place,
        &bin.y_axis,
        &bin.y,
        within_z * (p_rest / q) - by_slope,
        within_z * (p / q) + by_slope,
    );
    match ends {
        // The inner knots, from 1 on.
        SplineEnds::Identity => {
            for i in 1..k {
                let of_slope = select(i == bin.x.index, by_d * bin.d_slope, zero)
                    + select(i == bin.x.index + 1, by_e * bin.e_slope, zero);
                of_theta[place.base + (2 * k + i - 1) * place.stride] = F::cast_from(of_slope);
            }
        }
        // The last knot is the first.
        SplineEnds::Circular => {
            let right = select(bin.x.index + 1 == k, 0, bin.x.index + 1);
            for i in 0..k {
                let of_slope = select(i == bin.x.index, by_d * bin.d_slope, zero)
                    + select(i == right, by_e * bin.e_slope, zero);
                of_theta[place.base + (2 * k + i) * place.stride] = F::cast_from(of_slope);
            }
        }
    }
}

/// Writes the gradients of an axis' logits, from those of the left and of the right knot of the
/// bin, `λ` and `ρ`.
#[cube]
fn axis_gradient<F: Float, N: Float>(
    theta: &Tensor<F>,
    of_theta: &mut Tensor<F>,
    place: &Place,
    axis: &Axis<N>,
    bin: &Bin<N>,
    of_left: N,
    of_right: N,
) {
    let scale = axis.length * axis.rest;
    let of_before = of_left * (bin.own + bin.after) + of_right * bin.after;
    let of_own = of_right * bin.after - of_left * bin.before;
    let of_after = -(of_left * bin.before + of_right * (bin.before + bin.own));
    for i in 0..place.n_bins {
        let here = select(i < bin.index, of_before, select(i == bin.index, of_own, of_after));
        let logit = scale * softmax::<F, N>(theta, place, axis, i) * here;
        of_theta[place.base + (axis.first + i) * place.stride] = F::cast_from(logit);
    }
}

fn constants(spline: SplineShape, dtype: DType) -> ConstantsLaunch {
    let SplineShape { bound, min_width, min_height, min_slope, .. } = spline;
    ConstantsLaunch::new(
        scalar(bound, dtype),
        scalar(min_width, dtype),
        scalar(spline.rest(min_width), dtype),
        scalar(min_height, dtype),
        scalar(spline.rest(min_height), dtype),
        scalar(min_slope, dtype),
        scalar(spline.slope_shift(), dtype),
    )
}

impl SplineOps for CubeBackend {
    fn spline(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        check(operands!("spline", x, theta), "x", spline);
        let (x, theta) = (into_contiguous(x), into_contiguous(theta));
        let [batch, dims] = x.meta.shape().dims();
        let output = empty(&x, [2, batch, dims]);
        let (count, units) = unit_each(&x, batch * dims);
        let constants = constants(spline, x.dtype);
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &output.client,
            count,
            units,
            x.into_tensor_arg(),
            theta.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            dims as u32,
            spline.n_bins as u32,
            constants,
            spline.ends,
            storage,
            arithmetic,
        );
        output
    }

    fn spline_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        check(operands!("spline_inverse", z, theta), "z", spline);
        let (z, theta) = (into_contiguous(z), into_contiguous(theta));
        let shape @ [batch, dims] = z.meta.shape().dims();
        let output = empty(&z, shape);
        let (count, units) = unit_each(&z, batch * dims);
        let constants = constants(spline, z.dtype);
        let (storage, arithmetic) = types(z.dtype);
        inverse_kernel::launch(
            &output.client,
            count,
            units,
            z.into_tensor_arg(),
            theta.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            dims as u32,
            spline.n_bins as u32,
            constants,
            spline.ends,
            storage,
            arithmetic,
        );
        output
    }
}

impl SplineGradient for CubeBackend {
    fn spline_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        spline: SplineShape,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("spline_backward", x, theta, gradient), "x", spline);
        let [x, theta, gradient] = [x, theta, gradient].map(into_contiguous);
        let shape @ [batch, dims] = x.meta.shape().dims();
        let (of_x, of_theta) = (empty(&x, shape), empty(&x, [batch, spline.n_params(), dims]));
        let (count, units) = unit_each(&x, batch * dims);
        let constants = constants(spline, x.dtype);
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
            dims as u32,
            spline.n_bins as u32,
            constants,
            spline.ends,
            storage,
            arithmetic,
        );
        (of_x, of_theta)
    }
}
