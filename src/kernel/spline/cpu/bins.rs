//! The bin of one element: softmax of the logits, running knots, and slopes. All of it is computed
//! in float64: differences of knots, which are sums of up to `K` shares, would lose digits of f32.

use crate::kernel::cpu::simd::{MultiplyAdd, Real, exp, larger, log1p_of_unit, sigmoid};
use crate::kernel::spline::{SplineEnds, SplineShape};

/// The numbers of a spline that are not parameters.
#[derive(Debug, Clone, Copy)]
pub struct Constants {
    /// `K`.
    pub n_bins: usize,
    /// What the spline does at ±B.
    pub ends: SplineEnds,
    /// `B`.
    pub bound: f64,
    /// `w_min` and `1 − K·w_min`.
    width: (f64, f64),
    /// `h_min` and `1 − K·h_min`.
    height: (f64, f64),
    /// `d_min` and `c₀`.
    min_slope: f64,
    slope_shift: f64,
}

impl Constants {
    /// The constants for elements of a type, whose bound is a number of that type.
    pub fn new<T: Real>(spline: SplineShape) -> Self {
        let share = |smallest| (smallest, spline.rest(smallest));
        Self {
            n_bins: spline.n_bins,
            ends: spline.ends,
            bound: wide(T::of(spline.bound)),
            width: share(spline.min_width),
            height: share(spline.min_height),
            min_slope: spline.min_slope,
            slope_shift: spline.slope_shift(),
        }
    }

    /// Whether an element is inside, as `SplineShape::outside` defines it.
    #[inline(always)]
    pub fn inside(&self, value: f64) -> bool {
        match self.ends {
            SplineEnds::Identity => value.abs() < self.bound,
            SplineEnds::Circular => value >= -self.bound && value < self.bound,
        }
    }

    /// The smallest share of a bin on an axis, and what the smallest shares leave.
    #[inline(always)]
    pub fn share(&self, axis: Axis) -> (f64, f64) {
        match axis {
            Axis::X => self.width,
            Axis::Z => self.height,
        }
    }
}

/// The parameters of one element: every `stride`-th number.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a, T> {
    pub theta: &'a [T],
    pub stride: usize,
}

impl<T: Real> Parameters<'_, T> {
    #[inline(always)]
    fn row(&self, index: usize) -> f64 {
        wide(self.theta[index * self.stride])
    }

    /// The softmax of `n` logits, and zeros up to the length of `shares`, whole vectors. The sum is
    /// at least 1, the term of the largest itself; a logit that is NaN makes all shares NaN.
    #[inline(always)]
    fn softmax<M: MultiplyAdd>(&self, first: usize, n: usize, shares: &mut [[f64; VECTOR]]) {
        let flat = shares.as_flattened_mut();
        let mut largest = self.row(first);
        for (index, share) in flat[..n].iter_mut().enumerate() {
            *share = self.row(first + index);
            largest = larger(largest, *share);
        }
        flat[n..].fill(f64::NEG_INFINITY);
        let mut sums = [0.0; VECTOR];
        for vector in shares.iter_mut() {
            for (share, sum) in vector.iter_mut().zip(&mut sums) {
                *share = exp::<f64, M>(*share - largest);
                *sum += *share;
            }
        }
        let total: f64 = sums.iter().sum();
        for vector in shares.iter_mut() {
            for share in vector {
                *share /= total;
            }
        }
    }
}

/// What is computed for one element: the softmax of the logits and the knots, on both axes.
#[derive(Debug)]
pub struct Scratch {
    n_bins: usize,
    shares: [Vec<[f64; VECTOR]>; 2],
    knots: [Vec<f64>; 2],
}

impl Scratch {
    pub fn new(n_bins: usize) -> Self {
        let shares = vec![[0.0; VECTOR]; n_bins.div_ceil(VECTOR)];
        let knots = vec![0.0; n_bins + 1];
        Self { n_bins, shares: [shares.clone(), shares], knots: [knots.clone(), knots] }
    }

    /// The softmax of the logits of the widths and of the heights.
    #[inline(always)]
    pub fn softmax(&self, axis: Axis) -> &[f64] {
        &self.shares[axis as usize].as_flattened()[..self.n_bins]
    }

    /// Computes an axis. Its knots are at least a smallest share apart.
    #[inline(always)]
    fn load<T: Real, M: MultiplyAdd>(
        &mut self,
        parameters: &Parameters<'_, T>,
        constants: &Constants,
        axis: Axis,
    ) {
        let n = self.n_bins;
        let first = axis as usize * n;
        parameters.softmax::<M>(first, n, &mut self.shares[axis as usize]);
        let (smallest, rest) = constants.share(axis);
        let softmax = self.shares[axis as usize].as_flattened();
        let knots = &mut self.knots[axis as usize];
        let (bound, mut sum) = (constants.bound, 0.0);
        knots[0] = -bound;
        for (knot, &here) in knots[1..].iter_mut().zip(softmax) {
            sum += smallest + rest * here;
            *knot = 2.0 * bound * sum - bound;
        }
        knots[n] = bound;
    }

    /// The last bin that begins at or below a value, which is one since the first begins at −B.
    #[inline(always)]
    fn bin(&self, axis: Axis, value: f64) -> usize {
        let begins = &self.knots[axis as usize][1..self.n_bins];
        begins.iter().map(|begin| usize::from(*begin <= value)).sum()
    }

    #[inline(always)]
    fn at(&self, constants: &Constants, axis: Axis, index: usize) -> Bin {
        let (smallest, rest) = constants.share(axis);
        let knots = &self.knots[axis as usize];
        let own = self.softmax(axis)[index];
        let size = 2.0 * constants.bound * (smallest + rest * own);
        Bin { index, left: knots[index], span: knots[index + 1] - knots[index], size }
    }

    /// `π_<`, `π_k` and `π_>` of a bin.
    #[inline(always)]
    pub fn sides(&self, axis: Axis, index: usize) -> [f64; 3] {
        let softmax = self.softmax(axis);
        let (before, rest) = softmax.split_at(index);
        [before.iter().sum(), rest[0], rest[1..].iter().sum()]
    }
}

/// Numbers of a vector of the widest instruction set.
const VECTOR: usize = 8;

/// One axis of the spline.
#[derive(Debug, Clone, Copy)]
pub enum Axis {
    /// Data; widths.
    X,
    /// Latents; heights.
    Z,
}

/// A bin on one axis.
#[derive(Debug, Clone, Copy)]
pub struct Bin {
    pub index: usize,
    /// Its first knot.
    pub left: f64,
    /// Distance between its knots. Positions within the bin are measured by it.
    pub span: f64,
    /// The same distance from the share itself, with all of its digits.
    pub size: f64,
}

/// The same number in float64, which every f32 and f64 has.
#[inline(always)]
pub fn wide<T: Real>(x: T) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// The row of the slope at a knot, if it is a parameter. The knots at the ends have slope 1 and no
/// parameter, or on a circle one parameter together.
#[inline(always)]
pub fn slope_row(constants: &Constants, knot: usize) -> Option<usize> {
    let inner = knot > 0 && knot < constants.n_bins;
    match constants.ends {
        SplineEnds::Identity if inner => Some(2 * constants.n_bins + knot - 1),
        SplineEnds::Identity => None,
        SplineEnds::Circular if inner => Some(2 * constants.n_bins + knot),
        SplineEnds::Circular => Some(2 * constants.n_bins),
    }
}

/// The slope at a knot and its derivative with respect to its parameter.
#[inline(always)]
fn slope<T: Real, M: MultiplyAdd>(
    parameters: &Parameters<'_, T>,
    constants: &Constants,
    knot: usize,
) -> (f64, f64) {
    let Some(row) = slope_row(constants, knot) else { return (1.0, 0.0) };
    let v = parameters.row(row) + constants.slope_shift;
    let above = if v > 0.0 { v } else { 0.0 };
    let softplus = above + log1p_of_unit::<f64, M>(exp::<f64, M>(-v.abs()));
    (constants.min_slope + softplus, sigmoid::<f64, M>(v).0)
}

/// The bin of an element on both axes, and the slopes at its knots.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub x: Bin,
    pub y: Bin,
    /// `s`, `d` and `e`.
    pub s: f64,
    pub d: f64,
    pub e: f64,
    /// Derivatives of `d` and `e` with respect to their parameters.
    pub d_slope: f64,
    pub e_slope: f64,
}

/// Finds the bin of a value inside, which is known on one axis.
#[inline(always)]
pub fn found<T: Real, M: MultiplyAdd>(
    parameters: &Parameters<'_, T>,
    constants: &Constants,
    value: f64,
    known: Axis,
    scratch: &mut Scratch,
) -> Found {
    scratch.load::<T, M>(parameters, constants, Axis::X);
    scratch.load::<T, M>(parameters, constants, Axis::Z);
    let index = scratch.bin(known, value);
    let x = scratch.at(constants, Axis::X, index);
    let y = scratch.at(constants, Axis::Z, index);
    let (d, d_slope) = slope::<T, M>(parameters, constants, index);
    let (e, e_slope) = slope::<T, M>(parameters, constants, index + 1);
    Found { x, y, s: y.size / x.size, d, e, d_slope, e_slope }
}
