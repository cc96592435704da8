//! The numbers of a spline that are not parameters.

use crate::kernel::cpu::simd::Real;
use crate::kernel::spline::{SplineEnds, SplineShape};

/// One axis of the spline.
#[derive(Debug, Clone, Copy)]
pub enum Axis {
    /// Data; widths.
    X,
    /// Latents; heights.
    Z,
}

/// The numbers of a spline that are not parameters.
#[derive(Debug, Clone, Copy)]
pub struct Constants {
    /// `K`.
    pub n_bins: usize,
    /// What the spline does at ±B.
    ends: SplineEnds,
    /// `B`.
    pub bound: f64,
    /// `w_min` and `1 − K·w_min`.
    width: (f64, f64),
    /// `h_min` and `1 − K·h_min`.
    height: (f64, f64),
    /// `d_min` and `c₀`.
    pub min_slope: f64,
    pub slope_shift: f64,
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

    /// The row of the slope at a knot, if it is a parameter. The knots at the ends have slope 1 and
    /// no parameter, or on a circle one parameter together.
    #[inline(always)]
    pub fn slope_row(&self, knot: usize) -> Option<usize> {
        let inner = knot > 0 && knot < self.n_bins;
        match self.ends {
            SplineEnds::Identity if inner => Some(2 * self.n_bins + knot - 1),
            SplineEnds::Identity => None,
            SplineEnds::Circular if inner => Some(2 * self.n_bins + knot),
            SplineEnds::Circular => Some(2 * self.n_bins),
        }
    }
}

/// The same number in float64, which every f32 and f64 has.
#[inline(always)]
pub fn wide<T: Real>(x: T) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}
