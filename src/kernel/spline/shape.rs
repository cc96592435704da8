//! The numbers of a spline that are not parameters.

use burn::tensor::{Bool, Tensor};

/// What a spline does at ±B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SplineEnds {
    /// The slope is 1 at both ends, and all that is outside passes unchanged.
    Identity,
    /// The two ends are one point of a circle, whose slope is a parameter. The spline is defined on
    /// [−B, B), and callers put no other element there.
    Circular,
}

/// Number of bins, bound, minima and ends of a spline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplineShape {
    /// `K`, at least 2.
    pub n_bins: usize,
    /// `B`: the spline acts within ±B.
    pub bound: f64,
    /// `w_min`, the smallest width of a bin as a share of the total width.
    pub min_width: f64,
    /// `h_min`, the smallest height of a bin as a share of the total height.
    pub min_height: f64,
    /// `d_min`, the smallest slope at a knot.
    pub min_slope: f64,
    /// What the spline does at ±B.
    pub ends: SplineEnds,
}

impl SplineShape {
    /// Number of parameters of each element: `3K − 1`, or `3K` on a circle.
    pub fn n_params(self) -> usize {
        2 * self.n_bins + self.n_slopes()
    }

    /// Number of slopes that are parameters.
    pub(super) fn n_slopes(self) -> usize {
        match self.ends {
            SplineEnds::Identity => self.n_bins - 1,
            SplineEnds::Circular => self.n_bins,
        }
    }

    /// The elements that pass unchanged. NaN is one of them.
    ///
    /// The ends of an identity are outside: their value and slope are the same from both sides, and
    /// exact from outside.
    pub(super) fn outside(self, value: &Tensor<2>) -> Tensor<2, Bool> {
        let inside = match self.ends {
            SplineEnds::Identity => value.clone().abs().lower_elem(self.bound),
            SplineEnds::Circular => {
                let from_start = value.clone().greater_equal_elem(-self.bound);
                from_start.bool_and(value.clone().lower_elem(self.bound))
            }
        };
        inside.bool_not()
    }

    /// `1 − K·minimum`: what the minima leave of the total width or height.
    pub(super) fn rest(self, minimum: f64) -> f64 {
        1.0 - minimum * self.n_bins as f64
    }

    /// `c₀`, for which the slope is 1 at `c = 0`.
    pub(crate) fn slope_shift(self) -> f64 {
        (1.0 - self.min_slope).exp_m1().ln()
    }
}
