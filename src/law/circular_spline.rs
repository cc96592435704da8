//! Monotone rational-quadratic spline of a circle, and a rotation.
//! ```text
//! theta = (a_0..K−1, b_0..K−1, c_0..K−1, ρ)   bins 0..K−1, knots 0..K; knot K is knot 0
//! wrap(v) = v − 2B·⌊(v + B)/2B⌋               the point of [−B, B) that v stands for
//! g                                           the spline of `RationalQuadraticSpline` on [−B, B],
//!                                             with d_0 = d_K, made from c_0 as other slopes are
//! forward   z = wrap(g(wrap x) + ρ·B/π)       log_derivative = ln g′(wrap x)
//! inverse   x = g⁻¹(wrap(z − ρ·B/π))
//! ```
//! Data are angles, phases, directions or times of a day: elements of `[−B, B)`, of which −B and B
//! are one point. An element outside is wrapped first, since the law is a function of the circle; a
//! wrap moves points by whole turns, so it has slope 1. `z` and `x` are always in `[−B, B)`.
//!
//! A diffeomorphism of the circle needs one value and one slope at the seam, so both ends share the
//! slope `d_0`, which is a parameter. The spline alone would keep the seam in its place. The
//! rotation by the angle `ρ`, in radians, moves its image. At theta = 0 the law is the identity.
//! `K` bins have `3K + 1` parameters.
//!
//! The law is continuous across the seam for each theta. A network that computes theta from other
//! angles reads them as numbers, and differs on the two sides of their seam: the density of a
//! coupling then jumps there. A [`Net`](crate::Net) of your own that reads their cosine and sine
//! does not. An [`Elementwise`](crate::Elementwise) layer has no network.
//!
//! The latents are on the circle too, so their prior is one of the circle:
//! [`UniformBox`](crate::UniformBox) from −B to B. A stack of laws of the circle has no other
//! element-wise layer between them, since a scale, for instance, is no function of a circle.
//!
//! # Numerics
//! Those of [`RationalQuadraticSpline`](super::RationalQuadraticSpline) within the circle. The
//! bound is rounded to the type of the data: in float32, π becomes 3.1415927. An element within
//! `[−B, B)` is wrapped to itself, to the bit. One that is `n` turns away has lost the digits that
//! its own rounding lost: `n·2B` times the machine epsilon. Infinite elements have no place on the
//! circle, and become NaN.
//!
//! The logarithm of the derivative is continuous across the seam. So are derivatives of both
//! outputs with respect to `theta`; `z` itself jumps by one turn where its image crosses the seam.
//!
//! # Reference
//! Rezende et al. 2020, *Normalizing Flows on Tori and Spheres* (circular splines, and the phase
//! translation); the spline: Durkan et al. 2019. Differs: the paper's spline maps angles of [0, 2π)
//! and fixes 0.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::CircularSplineConfig;
//! use flowkit::{Density, ElementwiseConfig, Flow, UniformBoxConfig};
//! use std::f64::consts::PI;
//!
//! // Two angles, each with its own density on the circle.
//! let layer = ElementwiseConfig::new(CircularSplineConfig::new(8));
//! let prior = UniformBoxConfig::between(-PI, PI);
//! let flow = Flow::build(&layer, prior, [1, 2], &Device::flex())?.without_data();
//! // An angle of 3.5 is that of 3.5 − 2π.
//! let angles = |first: f64| Tensor::<2>::from_data([[first, 0.5]], &Device::flex());
//! let nats = |first| flow.evaluate(angles(first)).map(|found| found.nats()[0]);
//! assert!((nats(3.5)? - nats(3.5 - 2.0 * PI)?).abs() < 1e-4);
//! # Ok::<(), flowkit::Error>(())
//! ```

use std::f64::consts::PI;

use burn::module::Module;
use burn::tensor::Tensor;

use super::rational_quadratic_spline::validate;
use super::{Law, LawConfig};
use crate::error::ConfigError;
use crate::kernel::spline::{self, SplineEnds, SplineShape};
use crate::tensor::channels::channel;

config! {
    /// Configuration of [`CircularSpline`].
    #[derive(Debug)]
    pub struct CircularSplineConfig {
        /// Number of bins `K`, at least 2.
        pub n_bins: usize,
        /// `B`: half of the circumference. Data are in `[−B, B)`.
        pub bound: f64 = PI,
        /// Smallest width of a bin, as a share of the circumference.
        pub min_width: f64 = 1e-3,
        /// Smallest height of a bin, as a share of the circumference.
        pub min_height: f64 = 1e-3,
        /// Smallest slope at a knot.
        pub min_slope: f64 = 1e-3,
    }
}

const NAME: &str = "CircularSplineConfig";

impl CircularSplineConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        validate(NAME, self.shape())
    }

    fn shape(&self) -> SplineShape {
        let Self { n_bins, bound, min_width, min_height, min_slope } = *self;
        SplineShape { n_bins, bound, min_width, min_height, min_slope, ends: SplineEnds::Circular }
    }
}

impl LawConfig for CircularSplineConfig {
    type Law = CircularSpline;

    fn build(&self) -> Result<CircularSpline, ConfigError> {
        self.validate()?;
        let Self { n_bins, bound, min_width, min_height, min_slope } = *self;
        Ok(CircularSpline { n_bins, bound, min_width, min_height, min_slope })
    }
}

/// Monotone rational-quadratic spline of a circle. The formulas head this module.
#[derive(Module, Debug)]
pub struct CircularSpline {
    n_bins: usize,
    bound: f64,
    min_width: f64,
    min_height: f64,
    min_slope: f64,
}

impl CircularSpline {
    fn shape(&self) -> SplineShape {
        let Self { n_bins, bound, min_width, min_height, min_slope } = *self;
        SplineShape { n_bins, bound, min_width, min_height, min_slope, ends: SplineEnds::Circular }
    }

    /// The parameters of the spline, and the rotation in the unit of the data.
    fn parts(&self, theta: Tensor<3>) -> (Tensor<3>, Tensor<2>) {
        let (found, expected) = (theta.dims()[1], self.n_params());
        assert_eq!(
            found, expected,
            "CircularSpline: expected {expected} parameters for each element, found {found}"
        );
        let rotation = channel(&theta, expected - 1).mul_scalar(self.bound / PI);
        // Wrapped before it is added, so that many turns cost no digits of the sum.
        (theta.narrow(1, 0, expected - 1), self.wrap(rotation))
    }

    /// The point of `[−B, B)` that an element stands for.
    fn wrap(&self, v: Tensor<2>) -> Tensor<2> {
        let (bound, turn) = (self.bound, 2.0 * self.bound);
        let at = v.clone().detach();
        let turns = at.clone().add_scalar(bound).div_scalar(turn).floor();
        let moved = at.clone() - turns.mul_scalar(turn);
        // The quotient is rounded, and may be off by one turn.
        let above = moved.clone().greater_equal_elem(bound);
        let moved = moved.clone().mask_where(above, moved.sub_scalar(turn));
        let below = moved.clone().lower_elem(-bound);
        let moved = moved.clone().mask_where(below, moved.add_scalar(turn));
        // A point just below −B may be rounded to B, which is −B.
        let at_end = moved.clone().greater_equal_elem(bound);
        let moved = moved.mask_fill(at_end, -bound);
        let inside = at.clone().greater_equal_elem(-bound).bool_and(at.clone().lower_elem(bound));
        // A wrap has slope 1. The difference is exactly 0, or NaN for an infinite element.
        moved.mask_where(inside, at.clone()) + (v - at)
    }
}

impl Law for CircularSpline {
    fn n_params(&self) -> usize {
        self.shape().n_params() + 1
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let (spline, rotation) = self.parts(theta);
        let (z, log_derivative) = spline::forward(self.wrap(x), spline, self.shape());
        (self.wrap(z + rotation), log_derivative)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        let (spline, rotation) = self.parts(theta);
        let x = spline::inverse(self.wrap(z - rotation), spline, self.shape());
        self.wrap(x)
    }
}
