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

    /// `2B·(1 − K·w_min)`, the derivative of the total width by the softmax.
    #[inline(always)]
    pub fn width_per_softmax(&self) -> f64 {
        (self.bound + self.bound) * self.width.1
    }

    /// The same of the heights.
    #[inline(always)]
    pub fn height_per_softmax(&self) -> f64 {
        (self.bound + self.bound) * self.height.1
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

    /// The softmax of as many logits as `shares` has elements. The sum is at least 1, the term of
    /// the largest itself; a logit that is NaN makes all shares NaN.
    #[inline(always)]
    fn softmax<M: MultiplyAdd>(&self, first: usize, shares: &mut [f64]) {
        let mut largest = self.row(first);
        for (index, share) in shares.iter_mut().enumerate() {
            *share = self.row(first + index);
            largest = larger(largest, *share);
        }
        for share in shares.iter_mut() {
            *share = exp::<f64, M>(*share - largest);
        }
        let total: f64 = shares.iter().sum();
        for share in shares.iter_mut() {
            *share /= total;
        }
    }
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
    /// `π_<`, `π_k` and `π_>`.
    pub before: f64,
    pub own: f64,
    pub after: f64,
}

/// What a bin is found by.
#[derive(Debug, Clone, Copy)]
enum By {
    /// The value that it contains, of [−B, B).
    Value(f64),
    /// Its index.
    Index(usize),
}

/// The same number in float64.
#[inline(always)]
pub fn wide<T: Real>(x: T) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// The last bin that begins at or below a value, which is one since the first begins at −B; or the
/// bin with an index.
#[inline(always)]
fn find(softmax: &[f64], (smallest, rest): (f64, f64), bound: f64, by: By) -> Bin {
    let last = softmax.len() - 1;
    let (mut index, mut found_left, mut found_right) = (0, -bound, bound);
    let (mut share, mut before, mut own, mut after) = (0.0, 0.0, 0.0, 0.0);
    // Of all bins so far: the right end of the last, the sum of the shares and that of the softmax.
    let (mut left, mut shares, mut softmaxes) = (-bound, 0.0, 0.0);
    for (i, &here) in softmax.iter().enumerate() {
        let share_here = smallest + rest * here;
        shares += share_here;
        let right = if i == last { bound } else { 2.0 * bound * shares - bound };
        let reached = match by {
            By::Value(value) => left <= value,
            By::Index(index) => i <= index,
        };
        if reached {
            (index, found_left, found_right) = (i, left, right);
            (share, before, own, after) = (share_here, softmaxes, here, 0.0);
        } else {
            after += here;
        }
        softmaxes += here;
        left = right;
    }
    let (span, size) = (found_right - found_left, 2.0 * bound * share);
    Bin { index, left: found_left, span, size, before, own, after }
}

/// The slope at a knot and its derivative with respect to its parameter. The knots at the ends have
/// slope 1 and no parameter, or on a circle one parameter together.
#[inline(always)]
fn slope<T: Real, M: MultiplyAdd>(
    parameters: &Parameters<'_, T>,
    constants: &Constants,
    knot: usize,
) -> (f64, f64) {
    let inner = knot > 0 && knot < constants.n_bins;
    let row = match constants.ends {
        SplineEnds::Identity if inner => knot - 1,
        SplineEnds::Identity => return (1.0, 0.0),
        SplineEnds::Circular if inner => knot,
        SplineEnds::Circular => 0,
    };
    let v = parameters.row(2 * constants.n_bins + row) + constants.slope_shift;
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

/// The axis on which an element is known.
#[derive(Debug, Clone, Copy)]
pub enum Known {
    X,
    Z,
}

/// Finds the bin of a value inside. `shares` gets the softmax of both axes, `2K` numbers.
#[inline(always)]
pub fn found<T: Real, M: MultiplyAdd>(
    parameters: &Parameters<'_, T>,
    constants: &Constants,
    value: f64,
    known: Known,
    shares: &mut [f64],
) -> Found {
    let (widths, heights) = shares.split_at_mut(constants.n_bins);
    parameters.softmax::<M>(0, widths);
    parameters.softmax::<M>(constants.n_bins, heights);
    let x_by = |by| find(widths, constants.width, constants.bound, by);
    let y_by = |by| find(heights, constants.height, constants.bound, by);
    let (x, y) = match known {
        Known::X => {
            let x = x_by(By::Value(value));
            (x, y_by(By::Index(x.index)))
        }
        Known::Z => {
            let y = y_by(By::Value(value));
            (x_by(By::Index(y.index)), y)
        }
    };
    let (d, d_slope) = slope::<T, M>(parameters, constants, x.index);
    let (e, e_slope) = slope::<T, M>(parameters, constants, x.index + 1);
    Found { x, y, s: y.size / x.size, d, e, d_slope, e_slope }
}
