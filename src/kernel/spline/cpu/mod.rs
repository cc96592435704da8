//! The operation on slices, element by element. Examples are shared among threads. The exponentials
//! of an element's logits are computed together, in vectors; softmax and knots are kept for it.

mod bins;

use std::cmp::Ordering;

use crate::kernel::cpu::simd::{InstructionSet, Kernel, MultiplyAdd, Real, ln};
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSliceMut, for_each_with};

use self::bins::{Axis, Constants, Found, Parameters, Scratch, found, slope_row, wide};
use super::SplineShape;

/// Of a bin of an element, by `k.spline` of `benches/kernel/cost.rs`.
const FORWARD: Cost = Cost::picoseconds(31_000);
const BACKWARD: Cost = Cost::picoseconds(36_000);

/// The operands of a call. Elements of an example are contiguous, examples and rows may have gaps.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    pub n_dims: usize,
    /// `x` or `z`, and the distance of examples.
    pub values: &'a [T],
    pub stride: usize,
    /// Parameters, and the distances of examples and of rows.
    pub theta: &'a [T],
    pub theta_stride: usize,
    pub row_stride: usize,
}

impl<T: Real> Batch<'_, T> {
    #[inline(always)]
    fn value(&self, example: usize, element: usize) -> T {
        self.values[example * self.stride + element]
    }

    #[inline(always)]
    fn parameters(&self, example: usize, element: usize) -> Parameters<'_, T> {
        let start = example * self.theta_stride + element;
        Parameters { theta: &self.theta[start..], stride: self.row_stride }
    }
}

/// `ξ`, `1 − ξ`, and the sums of positive terms at it.
struct Place {
    xi: f64,
    rest: f64,
    both: f64,
    square: f64,
    square_rest: f64,
    p: f64,
    q: f64,
    u: f64,
}

impl Place {
    #[inline(always)]
    fn of(value: f64, &Found { x, s, d, e, .. }: &Found) -> Self {
        let xi = (value - x.left) / x.span;
        let rest = 1.0 - xi;
        let (both, square, square_rest) = (xi * rest, xi * xi, rest * rest);
        let p = s * square + d * both;
        let q = s * (square + square_rest) + (d + e) * both;
        let u = e * square + 2.0 * s * both + d * square_rest;
        Self { xi, rest, both, square, square_rest, p, q, u }
    }
}

/// `z` and the log-derivative of one example.
struct Forward<'a, T> {
    constants: Constants,
    batch: Batch<'a, T>,
    example: usize,
    z: &'a mut [T],
    log_derivative: &'a mut [T],
    scratch: &'a mut Scratch,
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { constants, batch, example, z, log_derivative, scratch } = self;
        for (element, (z, log_derivative)) in z.iter_mut().zip(log_derivative).enumerate() {
            let value = batch.value(example, element);
            (*z, *log_derivative) = (value, T::zero());
            let value = wide(value);
            if constants.inside(value) {
                let parameters = batch.parameters(example, element);
                let bin = found::<T, M>(&parameters, &constants, value, Axis::X, scratch);
                let Place { p, q, u, .. } = Place::of(value, &bin);
                *z = T::of(bin.y.left + bin.y.span * (p / q));
                let logs = 2.0 * (ln::<f64, M>(bin.s) - ln::<f64, M>(q)) + ln::<f64, M>(u);
                *log_derivative = T::of(logs);
            }
        }
    }
}

/// `x` of one example.
struct Inverse<'a, T> {
    constants: Constants,
    batch: Batch<'a, T>,
    example: usize,
    x: &'a mut [T],
    scratch: &'a mut Scratch,
}

impl<T: Real> Kernel for Inverse<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { constants, batch, example, x, scratch } = self;
        for (element, x) in x.iter_mut().enumerate() {
            let value = batch.value(example, element);
            *x = value;
            let value = wide(value);
            if constants.inside(value) {
                let parameters = batch.parameters(example, element);
                let bin = found::<T, M>(&parameters, &constants, value, Axis::Z, scratch);
                let twice = 2.0 * bin.s;
                let eta = (value - bin.y.left) / bin.y.span;
                let rest = 1.0 - eta;
                let r = bin.d * rest - bin.e * eta;
                let t = (r * r + twice * twice * eta * rest).sqrt();
                let (up, down) = (twice * eta, twice * rest);
                let xi = if r < 0.0 { (t - r) / (t - r + down) } else { up / (t + r + up) };
                *x = T::of(bin.x.left + xi * bin.x.span);
            }
        }
    }
}

/// Gradients of one example: `of_z` and `of_log` are those of the outputs.
struct Backward<'a, T> {
    constants: Constants,
    batch: Batch<'a, T>,
    example: usize,
    of_z: &'a [T],
    of_log: &'a [T],
    of_x: &'a mut [T],
    of_theta: &'a mut [T],
    scratch: &'a mut Scratch,
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { constants, batch, example, of_z, of_log, of_x, of_theta, scratch } = self;
        of_theta.fill(T::zero());
        for element in 0..batch.n_dims {
            let value = wide(batch.value(example, element));
            of_x[element] = of_z[element];
            if constants.inside(value) {
                let parameters = batch.parameters(example, element);
                let bin = found::<T, M>(&parameters, &constants, value, Axis::X, scratch);
                let of_theta = OfTheta { gradient: of_theta, element, stride: batch.n_dims };
                let outputs = (wide(of_z[element]), wide(of_log[element]));
                let of_value = differentiate(value, &bin, outputs, &constants, scratch, of_theta);
                of_x[element] = T::of(of_value);
            }
        }
    }
}

/// The gradient of the parameters of one element, which is 0 before it is written.
struct OfTheta<'a, T> {
    gradient: &'a mut [T],
    element: usize,
    stride: usize,
}

impl<T: Real> OfTheta<'_, T> {
    #[inline(always)]
    fn add(&mut self, row: usize, gradient: f64) {
        self.gradient[row * self.stride + self.element] += T::of(gradient);
    }

    /// The gradient of the logits of an axis from those of the knots of its bin `index`.
    #[inline(always)]
    fn axis(
        &mut self,
        scratch: &Scratch,
        constants: &Constants,
        axis: Axis,
        index: usize,
        (of_left, of_right): (f64, f64),
    ) {
        let [before, own, after] = scratch.sides(axis, index);
        let scale = 2.0 * constants.bound * constants.share(axis).1;
        let of_before = of_left * (own + after) + of_right * after;
        let of_own = of_right * after - of_left * before;
        let of_after = -(of_left * before + of_right * (before + own));
        let softmax = scratch.softmax(axis);
        let first = axis as usize * constants.n_bins;
        for (i, &here) in softmax.iter().enumerate() {
            let of_bin = match i.cmp(&index) {
                Ordering::Less => of_before,
                Ordering::Equal => of_own,
                Ordering::Greater => of_after,
            };
            self.add(first + i, scale * here * of_bin);
        }
    }
}

/// Writes the gradient of the parameters of an element inside, and returns that of `x`.
#[inline(always)]
fn differentiate<T: Real>(
    value: f64,
    bin: &Found,
    (by_z, by_log): (f64, f64),
    constants: &Constants,
    scratch: &Scratch,
    mut of_theta: OfTheta<'_, T>,
) -> f64 {
    let (s, d, e) = (bin.s, bin.d, bin.e);
    let (width, height) = (bin.x.span, bin.y.span);
    let Place { xi, rest, both, square, square_rest, p, q, u } = Place::of(value, bin);
    let p_rest = s * square_rest + e * both;
    // `γ_z h/q`. Products with `q` are divided by it once at a time: its square may overflow.
    let by_z_of_q = by_z * height / q;
    let by_xi = by_z_of_q * s * (u / q)
        + by_log
            * (2.0 * (e * xi - d * rest + s * (rest - xi)) / u
                - 2.0 * (rest - xi) * (d + e - 2.0 * s) / q);
    let by_s = by_z_of_q * both * ((e * square - d * square_rest) / q)
        + 2.0 * by_log * both * (1.0 / u + (d + e) / q / s);
    let by_d = by_z_of_q * both * (p_rest / q) + by_log * (square_rest / u - 2.0 * both / q);
    let by_e = by_log * (square / u - 2.0 * both / q) - by_z_of_q * both * (p / q);

    let by_slope = by_s / bin.x.size;
    let x_knots = (by_slope * s - by_xi * rest / width, -by_slope * s - by_xi * xi / width);
    of_theta.axis(scratch, constants, Axis::X, bin.x.index, x_knots);
    let y_knots = (by_z * (p_rest / q) - by_slope, by_z * (p / q) + by_slope);
    of_theta.axis(scratch, constants, Axis::Z, bin.x.index, y_knots);
    let slopes = [(bin.x.index, by_d * bin.d_slope), (bin.x.index + 1, by_e * bin.e_slope)];
    for (knot, of_slope) in slopes {
        if let Some(row) = slope_row(constants, knot) {
            of_theta.add(row, of_slope);
        }
    }
    by_xi / width
}

/// `z` and the log-derivative, each `[examples, dims]`. Outputs are written in full.
pub fn forward<T: Real>(
    batch: &Batch<'_, T>,
    spline: SplineShape,
    z: &mut [T],
    log_derivative: &mut [T],
) {
    assert_eq!(z.len(), log_derivative.len(), "spline: lengths of the outputs");
    if z.is_empty() {
        return;
    }
    let (set, constants) = (InstructionSet::detect(), Constants::new::<T>(spline));
    let n = batch.n_dims;
    let outputs = z.par_chunks_mut(n).zip(log_derivative.par_chunks_mut(n)).enumerate();
    for_each_with(
        outputs,
        FORWARD.times(n * spline.n_bins),
        || Scratch::new(spline.n_bins),
        |scratch, (example, (z, log_derivative))| {
            let batch = *batch;
            set.dispatch(Forward { constants, batch, example, z, log_derivative, scratch });
        },
    );
}

/// The `x` whose `z` the batch holds, `[examples, dims]`.
pub fn inverse<T: Real>(batch: &Batch<'_, T>, spline: SplineShape, x: &mut [T]) {
    if x.is_empty() {
        return;
    }
    let (set, constants) = (InstructionSet::detect(), Constants::new::<T>(spline));
    for_each_with(
        x.par_chunks_mut(batch.n_dims).enumerate(),
        FORWARD.times(batch.n_dims * spline.n_bins),
        || Scratch::new(spline.n_bins),
        |scratch, (example, x)| {
            set.dispatch(Inverse { constants, batch: *batch, example, x, scratch });
        },
    );
}

/// Gradients of `x`, `[examples, dims]`, and of the parameters, `[examples, rows, dims]`, from
/// those of both outputs, `[2, examples, dims]`. Outputs are written in full.
pub fn backward<T: Real>(
    batch: &Batch<'_, T>,
    spline: SplineShape,
    gradient: &[T],
    of_x: &mut [T],
    of_theta: &mut [T],
) {
    let (n, rows) = (batch.n_dims, spline.n_params());
    let lengths = (gradient.len(), of_theta.len());
    assert_eq!(lengths, (2 * of_x.len(), rows * of_x.len()), "spline: lengths of the gradients");
    if of_x.is_empty() {
        return;
    }
    let (set, constants) = (InstructionSet::detect(), Constants::new::<T>(spline));
    let (of_z, of_log) = gradient.split_at(of_x.len());
    let outputs = of_x.par_chunks_mut(n).zip(of_theta.par_chunks_mut(rows * n)).enumerate();
    for_each_with(
        outputs,
        BACKWARD.times(n * spline.n_bins),
        || Scratch::new(spline.n_bins),
        |scratch, (example, (of_x, of_theta))| {
            let of_example = example * n..(example + 1) * n;
            let (of_z, of_log) = (&of_z[of_example.clone()], &of_log[of_example]);
            let batch = *batch;
            let kernel =
                Backward { constants, batch, example, of_z, of_log, of_x, of_theta, scratch };
            set.dispatch(kernel);
        },
    );
}
