//! The numbers of a spline that are not parameters.

/// Number of bins, bound and minima of a spline.
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
}

impl SplineShape {
    /// Number of parameters of each element, `3K − 1`.
    pub fn n_params(self) -> usize {
        3 * self.n_bins - 1
    }

    /// `1 − K·minimum`: what the minima leave of the total width or height.
    pub(super) fn rest(self, minimum: f64) -> f64 {
        1.0 - minimum * self.n_bins as f64
    }

    /// `c₀`, for which the slope is 1 at `c = 0`.
    pub(super) fn slope_shift(self) -> f64 {
        (1.0 - self.min_slope).exp_m1().ln()
    }
}
