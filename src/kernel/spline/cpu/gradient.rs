//! Gradients of the spline.

use super::bins::{Found, Scratch, found};
use super::block::{Batch, Block, Lanes, VECTOR, blocks};
use super::constants::{Axis, Constants, wide};
use super::place::Place;
use crate::kernel::cpu::simd::{Kernel, MultiplyAdd, Real};

/// Gradients of some examples, of which `first` is the first element: `of_z` and `of_log` are those
/// of the outputs.
pub struct Backward<'a, T> {
    pub constants: Constants,
    pub batch: Batch<'a, T>,
    pub first: usize,
    pub of_z: &'a [T],
    pub of_log: &'a [T],
    pub of_x: &'a mut [T],
    pub of_theta: &'a mut [T],
    pub scratch: &'a mut Scratch,
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { constants, batch, first, of_z, of_log, of_x, of_theta, scratch } = self;
        of_theta.fill(T::zero());
        let rows = of_theta.len() / of_x.len();
        for own in blocks(of_x.len()) {
            let block = Block::new(&batch, &constants, first + own.start, own.len());
            let found = found::<T, M>(&block, &constants, Axis::X, scratch);
            let by_outputs = [lanes(&of_z[own.clone()]), lanes(&of_log[own.clone()])];
            let by = Derivatives::of(&block, &found, &by_outputs);

            let mut starts = [0; VECTOR];
            for (start, index) in starts.iter_mut().zip(own.clone()) {
                *start = index / batch.n_dims * rows * batch.n_dims + index % batch.n_dims;
            }
            let starts = &starts[..own.len()];
            let mut of_theta =
                OfTheta { gradient: &mut *of_theta, starts, row_stride: batch.n_dims };
            let index = &found.index;
            of_theta.axis(scratch, &constants, Axis::X, index, &by.x_knots);
            of_theta.axis(scratch, &constants, Axis::Z, index, &by.y_knots);
            of_theta.slopes(&constants, index, 0, &by.d);
            of_theta.slopes(&constants, index, 1, &by.e);
            // Outside, the gradient is that of `z` without a rounding.
            let outputs = of_x[own.clone()].iter_mut().zip(&of_z[own]);
            for ((of_x, &of_z), (by_x, inside)) in outputs.zip(by.x.into_iter().zip(block.inside)) {
                *of_x = if inside { T::of(by_x) } else { of_z };
            }
        }
    }
}

/// The numbers of a block, and 0 behind the last of them.
#[inline(always)]
fn lanes<T: Real>(numbers: &[T]) -> Lanes {
    let mut lanes = [0.0; VECTOR];
    for (lane, &number) in lanes.iter_mut().zip(numbers) {
        *lane = wide(number);
    }
    lanes
}

/// Derivatives of a loss with respect to what an element is computed from, which are 0 outside.
struct Derivatives {
    x: Lanes,
    /// The left and right knots of the bin on each axis.
    x_knots: [Lanes; 2],
    y_knots: [Lanes; 2],
    /// The parameters of the slopes at its knots.
    d: Lanes,
    e: Lanes,
}

impl Derivatives {
    #[inline(always)]
    fn of<T: Real>(block: &Block<'_, T>, found: &Found, by_outputs: &[Lanes; 2]) -> Self {
        let zeros = [0.0; VECTOR];
        let [mut x, mut x_left, mut x_right, mut y_left] = [zeros; 4];
        let [mut y_right, mut of_d, mut of_e] = [zeros; 3];
        for lane in 0..VECTOR {
            let (s, d, e) = (found.s[lane], found.d[lane], found.e[lane]);
            let (width, height) = (found.x.span[lane], found.y.span[lane]);
            let [by_z, by_log] = [by_outputs[0][lane], by_outputs[1][lane]];
            let Place { xi, rest, both, square, square_rest, p, q, u } =
                Place::of(block.values[lane], found, lane);
            let p_rest = s * square_rest + e * both;
            // `γ_z h/q`. Products with `q` are divided by it once at a time: its square may
            // overflow.
            let by_z_of_q = by_z * height / q;
            let by_xi = by_z_of_q * s * (u / q)
                + by_log
                    * (2.0 * (e * xi - d * rest + s * (rest - xi)) / u
                        - 2.0 * (rest - xi) * (d + e - 2.0 * s) / q);
            let by_s = by_z_of_q * both * ((e * square - d * square_rest) / q)
                + 2.0 * by_log * both * (1.0 / u + (d + e) / q / s);
            let by_d =
                by_z_of_q * both * (p_rest / q) + by_log * (square_rest / u - 2.0 * both / q);
            let by_e = by_log * (square / u - 2.0 * both / q) - by_z_of_q * both * (p / q);
            let by_slope = by_s / found.x.size[lane];

            let inside = block.inside[lane];
            let of = |derivative: f64| if inside { derivative } else { 0.0 };
            x[lane] = of(by_xi / width);
            x_left[lane] = of(by_slope * s - by_xi * rest / width);
            x_right[lane] = of(-by_slope * s - by_xi * xi / width);
            y_left[lane] = of(by_z * (p_rest / q) - by_slope);
            y_right[lane] = of(by_z * (p / q) + by_slope);
            of_d[lane] = of(by_d * found.d_slope[lane]);
            of_e[lane] = of(by_e * found.e_slope[lane]);
        }
        Self { x, x_knots: [x_left, x_right], y_knots: [y_left, y_right], d: of_d, e: of_e }
    }
}

/// The gradient of the parameters of a block, which is 0 before it is written.
struct OfTheta<'a, T> {
    gradient: &'a mut [T],
    /// Where the parameters of each element begin.
    starts: &'a [usize],
    row_stride: usize,
}

impl<T: Real> OfTheta<'_, T> {
    /// The gradient of the logits of an axis from those of the knots of their bins.
    #[inline(always)]
    fn axis(
        &mut self,
        scratch: &mut Scratch,
        constants: &Constants,
        axis: Axis,
        index: &Lanes,
        [of_left, of_right]: &[Lanes; 2],
    ) {
        let [before, own, after] = scratch.sides(axis, index);
        let scale = 2.0 * constants.bound * constants.share(axis).1;
        let [mut of_before, mut of_own, mut of_after] = [[0.0; VECTOR]; 3];
        for lane in 0..VECTOR {
            let (left, right) = (scale * of_left[lane], scale * of_right[lane]);
            of_before[lane] = left * (own[lane] + after[lane]) + right * after[lane];
            of_own[lane] = right * after[lane] - left * before[lane];
            of_after[lane] = -(left * before[lane] + right * (before[lane] + own[lane]));
        }
        let first = axis as usize * constants.n_bins;
        let mut here = 0.0;
        for (row, share) in scratch.softmax(axis).iter().enumerate() {
            let mut of_logit = [0.0; VECTOR];
            for lane in 0..VECTOR {
                let of_bin = if here < index[lane] { of_before[lane] } else { of_after[lane] };
                of_logit[lane] = share[lane] * of_bin;
            }
            let row = (first + row) * self.row_stride;
            for (&start, of_logit) in self.starts.iter().zip(of_logit) {
                self.gradient[start + row] = T::of(of_logit);
            }
            here += 1.0;
        }
        for (lane, &start) in self.starts.iter().enumerate() {
            let row = (first + index[lane] as usize) * self.row_stride;
            self.gradient[start + row] = T::of(own[lane] * of_own[lane]);
        }
    }

    /// Adds the gradient of the slopes at the first or second knots of bins.
    #[inline(always)]
    fn slopes(&mut self, constants: &Constants, index: &Lanes, knot: usize, of_slope: &Lanes) {
        for ((&start, index), &of_slope) in self.starts.iter().zip(index).zip(of_slope) {
            if let Some(row) = constants.slope_row(*index as usize + knot) {
                self.gradient[start + row * self.row_stride] += T::of(of_slope);
            }
        }
    }
}
