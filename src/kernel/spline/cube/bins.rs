//! The bin of one element: softmax of the logits, running knots, and slopes.

use cubecl::prelude::*;

use crate::kernel::cube::{log1p, sigmoid};
use crate::kernel::spline::SplineEnds;

/// The numbers of a spline that are not parameters.
#[derive(CubeLaunch, CubeType)]
pub struct Constants {
    /// `B`.
    pub bound: InputScalar,
    /// `w_min` and `1 − K·w_min`.
    pub min_width: InputScalar,
    pub rest_of_width: InputScalar,
    /// `h_min` and `1 − K·h_min`.
    pub min_height: InputScalar,
    pub rest_of_height: InputScalar,
    /// `d_min` and `c₀`.
    pub min_slope: InputScalar,
    pub slope_shift: InputScalar,
}

/// The place of an element's parameters.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    /// Index of its first parameter.
    pub base: usize,
    /// Distance from one parameter to the next.
    pub stride: usize,
    /// `K`.
    pub n_bins: usize,
}

#[cube]
impl Place {
    pub fn row<F: Float, N: Float>(&self, theta: &Tensor<F>, row: usize) -> N {
        N::cast_from(theta[self.base + row * self.stride])
    }
}

#[cube]
pub fn place(position: usize, dims: usize, n_bins: usize, #[comptime] ends: SplineEnds) -> Place {
    let rows = match ends {
        SplineEnds::Identity => 3 * n_bins - 1,
        SplineEnds::Circular => 3 * n_bins,
    };
    let base = position / dims * rows * dims + position % dims;
    Place { base, stride: dims, n_bins }
}

/// One axis of a spline: widths or heights.
#[derive(CubeType, Clone, Copy)]
pub struct Axis<N: Float> {
    /// Row of its first logit.
    pub first: usize,
    /// `2B`.
    pub length: N,
    /// Smallest share of a bin.
    pub smallest: N,
    /// What the smallest shares leave.
    pub rest: N,
    /// Largest logit.
    max: N,
    /// Sum of the exponentials relative to the largest, at least 1.
    total: N,
}

#[cube]
fn axis<F: Float, N: Float>(
    theta: &Tensor<F>,
    place: &Place,
    first: usize,
    bound: N,
    smallest: N,
    rest: N,
) -> Axis<N> {
    let mut max = place.row::<F, N>(theta, first);
    for i in 1..place.n_bins {
        max = N::max(max, place.row::<F, N>(theta, first + i));
    }
    let mut total = N::new(0.0);
    for i in 0..place.n_bins {
        total += N::exp(place.row::<F, N>(theta, first + i) - max);
    }
    Axis::<N> { first, length: bound + bound, smallest, rest, max, total }
}

/// `π_i`.
#[cube]
pub fn softmax<F: Float, N: Float>(
    theta: &Tensor<F>,
    place: &Place,
    axis: &Axis<N>,
    index: usize,
) -> N {
    N::exp(place.row::<F, N>(theta, axis.first + index) - axis.max) / axis.total
}

/// A bin on one axis.
#[derive(CubeType, Clone, Copy)]
pub struct Bin<N: Float> {
    pub index: usize,
    /// Its first knot.
    pub left: N,
    /// Distance between its rounded knots. Positions within the bin are measured by it.
    pub span: N,
    /// The same distance from the share itself, with all of its digits.
    pub size: N,
    /// `π_<`, `π_k` and `π_>`.
    pub before: N,
    pub own: N,
    pub after: N,
}

/// What a bin is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The value that it contains, of [−B, B).
    Value,
    /// Its index.
    Index,
}

/// The last bin that begins at or below `value`, which is one since the first begins at −B; or the
/// bin with this index. `by` says which of the two arguments is used.
#[cube]
fn find<F: Float, N: Float>(
    theta: &Tensor<F>,
    place: &Place,
    axis: &Axis<N>,
    value: N,
    index: usize,
    #[comptime] by: By,
) -> Bin<N> {
    let zero = N::new(0.0);
    let bound = axis.length * N::new(0.5);
    let mut found = 0usize.runtime();
    let mut found_left = -bound;
    let mut found_right = bound;
    let mut share = zero;
    let mut before = zero;
    let mut own = zero;
    let mut after = zero;
    // Of all bins so far: the right end of the last, the sum of the shares and that of the softmax.
    let mut left = -bound;
    let mut shares = zero;
    let mut softmaxes = zero;
    for i in 0..place.n_bins {
        let here = softmax::<F, N>(theta, place, axis, i);
        let share_here = axis.smallest + axis.rest * here;
        shares += share_here;
        let right = select(i + 1 == place.n_bins, bound, axis.length * shares - bound);
        let reached = match by {
            By::Value => left <= value,
            By::Index => i <= index,
        };
        if reached {
            found = i;
            found_left = left;
            found_right = right;
            share = share_here;
            before = softmaxes;
            own = here;
            after = zero;
        } else {
            after += here;
        }
        softmaxes += here;
        left = right;
    }
    let span = found_right - found_left;
    Bin::<N> { index: found, left: found_left, span, size: axis.length * share, before, own, after }
}

/// Whether an element is inside, as `SplineShape::outside` defines it.
#[cube]
pub fn inside<N: Float>(value: N, constants: &Constants, #[comptime] ends: SplineEnds) -> bool {
    let bound = constants.bound.get::<N>();
    match ends {
        SplineEnds::Identity => N::abs(value) < bound,
        SplineEnds::Circular => value >= -bound && value < bound,
    }
}

/// The slope at a knot and its derivative with respect to its parameter. The knots at the ends have
/// slope 1 and no parameter, or on a circle one parameter together.
#[cube]
fn slope<F: Float, N: Float>(
    theta: &Tensor<F>,
    place: &Place,
    constants: &Constants,
    knot: usize,
    #[comptime] ends: SplineEnds,
) -> (N, N) {
    let inner = knot > 0 && knot < place.n_bins;
    let row = match ends {
        SplineEnds::Identity => select(inner, knot - 1, 0),
        SplineEnds::Circular => select(inner, knot, 0),
    };
    let row = 2 * place.n_bins + row;
    let v = place.row::<F, N>(theta, row) + constants.slope_shift.get::<N>();
    let softplus = N::max(v, N::new(0.0)) + log1p::<N>(N::exp(-N::abs(v)));
    let free = constants.min_slope.get::<N>() + softplus;
    match ends {
        SplineEnds::Identity => {
            let value = select(inner, free, N::new(1.0));
            (value, select(inner, sigmoid::<N>(v), N::new(0.0)))
        }
        SplineEnds::Circular => (free, sigmoid::<N>(v)),
    }
}

/// The bin of an element on both axes, and the slopes at its knots.
#[derive(CubeType, Clone, Copy)]
pub struct Found<N: Float> {
    pub x_axis: Axis<N>,
    pub y_axis: Axis<N>,
    pub x: Bin<N>,
    pub y: Bin<N>,
    /// `s`, `d` and `e`.
    pub s: N,
    pub d: N,
    pub e: N,
    /// Derivatives of `d` and `e` with respect to their parameters.
    pub d_slope: N,
    pub e_slope: N,
}

/// The axis on which an element is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    X,
    Z,
}

#[cube]
pub fn found<F: Float, N: Float>(
    theta: &Tensor<F>,
    place: &Place,
    constants: &Constants,
    value: N,
    #[comptime] known: Known,
    #[comptime] ends: SplineEnds,
) -> Found<N> {
    let bound = constants.bound.get::<N>();
    let (w_min, w_rest) = (constants.min_width.get::<N>(), constants.rest_of_width.get::<N>());
    let (h_min, h_rest) = (constants.min_height.get::<N>(), constants.rest_of_height.get::<N>());
    let x_axis = axis::<F, N>(theta, place, 0, bound, w_min, w_rest);
    let y_axis = axis::<F, N>(theta, place, place.n_bins, bound, h_min, h_rest);
    let (x, y) = match known {
        Known::X => {
            let x = find::<F, N>(theta, place, &x_axis, value, 0, By::Value);
            let y = find::<F, N>(theta, place, &y_axis, value, x.index, By::Index);
            (x, y)
        }
        Known::Z => {
            let y = find::<F, N>(theta, place, &y_axis, value, 0, By::Value);
            let x = find::<F, N>(theta, place, &x_axis, value, y.index, By::Index);
            (x, y)
        }
    };
    let (d, d_slope) = slope::<F, N>(theta, place, constants, x.index, ends);
    let (e, e_slope) = slope::<F, N>(theta, place, constants, x.index + 1, ends);
    let s = y.size / x.size;
    Found::<N> { x_axis, y_axis, x, y, s, d, e, d_slope, e_slope }
}

/// `ξ` or `η`: the position of a value in its bin. Compilers may round the knots differently in
/// different places, so the limits are set.
#[cube]
pub fn position<N: Float>(value: N, bin: &Bin<N>) -> N {
    let position = (value - bin.left) / bin.span;
    N::min(N::max(position, N::new(0.0)), N::new(1.0))
}
