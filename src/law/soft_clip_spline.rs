//! Monotone rational-quadratic spline on [−B, B] whose parameters are clipped softly: bins and
//! slopes are within a range for every theta.
//! ```text
//! theta = (a_0..K−1, b_0..K−1, c_1..K−1)     bins 0..K−1, knots 0..K
//! clip_l(v) = v/(1 + |v|/l)                  within ±l
//! w = 2B·softmax clip_l/2(a)                 widths of the bins;  l = −ln m
//! h = 2B·softmax clip_l/2(b)                 heights
//! d = exp(clip_l(c))                         slopes at the knots, in (m, 1/m);  d_0 = d_K = 1
//! ```
//! Bins, knots and formulas within a bin are those of [`super::RationalQuadraticSpline`], and so is
//! the identity outside of ±B. At theta = 0 the law is the identity. The widths of two bins differ
//! by a factor of less than `1/m`, and so do the heights.
//!
//! # Numerics
//! The kernel of [`super::RationalQuadraticSpline`] computes the spline, with smallest shares and
//! slopes of 0 and `ln(e^d − 1)` in place of the parameters of its slopes. No parameter overflows.
//!
//! # Reference
//! `MonotonicRQSTransform` of the library zuko 1.6, whose `slope` is `m`; the spline: Durkan et al.
//! 2019.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::{Law, LawConfig, SoftClipSplineConfig};
//!
//! let device = Device::flex();
//! let spline = SoftClipSplineConfig::new(2).build()?;
//! // Two bins of equal width. The second is the higher one, by less than a factor of 1000.
//! let theta = Tensor::<3>::from_data([[[0.0], [0.0], [0.0], [1e30], [0.0]]], &device);
//! let (z, _) = spline.forward(Tensor::from_data([[0.0]], &device), theta.clone());
//! let height = 10.0 / (1.0 + 1000f32.sqrt());
//! z.clone().into_data().assert_approx_eq::<f32>(&[[height - 5.0]].into(), Default::default());
//! assert!(spline.inverse(z, theta).into_scalar::<f32>().abs() < 1e-5);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use std::f64::consts::LN_2;

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Law, LawConfig};
use crate::error::ConfigError;
use crate::kernel::spline::{self, SplineEnds, SplineShape};
use crate::tensor::smooth::{soft_clip, tanh};

config! {
    /// Configuration of [`SoftClipSpline`].
    #[derive(Debug)]
    pub struct SoftClipSplineConfig {
        /// Number of bins `K`, at least 2.
        pub n_bins: usize,
        /// `B`: the spline acts within ±B.
        pub bound: f64 = 5.0,
        /// `m`, the smallest slope at a knot, and the smallest ratio of two widths.
        pub slope: f64 = 1e-3,
    }
}

impl SoftClipSplineConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "SoftClipSplineConfig";
        let out_of_range = |field, range, found| {
            Err(ConfigError::OutOfRange { config: NAME, field, range, found })
        };
        ConfigError::repeated(NAME, "n_bins", self.n_bins)?;
        if self.n_bins == 1 {
            let needs = "a second bin: one bin is the identity whatever theta is";
            return Err(ConfigError::Choice { config: NAME, field: "n_bins", found: "1", needs });
        }
        if !(1e-3..=1e6).contains(&self.bound) {
            return out_of_range("bound", "[1e-3, 1e6]", self.bound);
        }
        // The narrowest bin beside K − 1 of the widest has the share m/(m + K − 1) of 2B, which is
        // many times the spacing of float32 values at B.
        let others = (self.n_bins - 1) as f64;
        if !(self.slope < 1.0 && self.slope / (self.slope + others) >= 1e-6) {
            return out_of_range("slope", "[1e-6·n_bins, 1)", self.slope);
        }
        Ok(())
    }
}

impl LawConfig for SoftClipSplineConfig {
    type Law = SoftClipSpline;

    fn build(&self) -> Result<SoftClipSpline, ConfigError> {
        self.validate()?;
        let Self { n_bins, bound, slope } = *self;
        Ok(SoftClipSpline { n_bins, bound, slope })
    }
}

/// Monotone rational-quadratic spline of parameters that are clipped softly. The formulas head this
/// module.
#[derive(Module, Debug)]
pub struct SoftClipSpline {
    n_bins: usize,
    bound: f64,
    slope: f64,
}

impl SoftClipSpline {
    fn shape(&self) -> SplineShape {
        let Self { n_bins, bound, .. } = *self;
        let ends = SplineEnds::Identity;
        SplineShape { n_bins, bound, min_width: 0.0, min_height: 0.0, min_slope: 0.0, ends }
    }

    /// The parameters of the kernel's spline.
    fn clipped(&self, theta: Tensor<3>) -> Tensor<3> {
        let (found, expected) = (theta.dims()[1], self.n_params());
        assert_eq!(
            found, expected,
            "SoftClipSpline: expected {expected} parameters for each element, found {found}"
        );
        let (limit, n_sizes) = (-self.slope.ln(), 2 * self.n_bins);
        let sizes = soft_clip(theta.clone().narrow(1, 0, n_sizes), 0.5 * limit);
        let log_slopes = soft_clip(theta.narrow(1, n_sizes, expected - n_sizes), limit);
        // ln(e^d − 1) = d + ln(1 − e^−d), and 1 − e^−d = 2t/(1 + t) with t = tanh d/2 > 0.
        let slopes = log_slopes.exp();
        let t = tanh(slopes.clone().mul_scalar(0.5));
        let beneath = t.clone().log() - t.log1p();
        let shift = LN_2 - self.shape().slope_shift();
        Tensor::cat(vec![sizes, (slopes + beneath).add_scalar(shift)], 1)
    }
}

impl Law for SoftClipSpline {
    fn n_params(&self) -> usize {
        self.shape().n_params()
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        spline::forward(x, self.clipped(theta), self.shape())
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        spline::inverse(z, self.clipped(theta), self.shape())
    }
}
