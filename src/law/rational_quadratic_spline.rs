//! Monotone rational-quadratic spline on [−B, B], the identity outside.
//! ```text
//! theta = (a_0..K−1, b_0..K−1, c_1..K−1)     bins 0..K−1, knots 0..K
//! w = 2B·(w_min + (1 − K·w_min)·softmax a)   widths of the bins, sum 2B; knots x_0 = −B .. x_K = B
//! h = 2B·(h_min + (1 − K·h_min)·softmax b)   heights, sum 2B; knots y_0 = −B .. y_K = B
//! d = d_min + ln(1 + exp(c + c₀))            slopes at the knots; c₀ is such that d = 1 at c = 0
//! d_0 = d_K = 1
//! in bin k, with s = h_k/w_k, ξ = (x − x_k)/w_k, ξ' = 1 − ξ; from here on d = d_k, e = d_k+1:
//! forward   z = y_k + h_k·(s ξ² + d ξξ')/q      q = s(ξ² + ξ'²) + (d + e) ξξ'
//! log_derivative   2 ln s + ln(e ξ² + 2s ξξ' + d ξ'²) − 2 ln q
//! inverse   η = (z − y_k)/h_k, η' = 1 − η, r = d η' − e η, t = √(r² + 4s² ηη')
//!           ξ = 2s η/(t + r + 2s η) if r ≥ 0,   (t − r)/(t − r + 2s η') if r < 0
//! ```
//! At theta = 0 the law is the identity. With one bin it would be the identity for every theta:
//! `w = h = 2B`, `s = d = e = 1`, `q = (ξ + ξ')² = 1` and `z = y_0 + 2B·ξ(ξ + ξ') = x`. So at least
//! two bins are required. `K` bins have `3K − 1` parameters. The slopes at ±B are 1, so value and
//! slope are continuous there.
//!
//! # Numerics
//! All expressions are sums of positive terms, so nothing cancels. `q ≥ s/2`, since
//! `ξ² + ξ'² ≥ 1/2`. The paper solves the quadratic equation of the inverse as
//! `2c/(−b − √(b² − 4ac))`. This form cancels in `b² − 4ac` and, where a slope exceeds `2s`, in
//! `−b − √..`. The discriminant equals `r² + 4s²ηη'`. Of the two formulas, from the left and from
//! the right end of the bin, the one used here has a denominator of positive terms only. Its `t` is
//! positive: `r` is `d` at `η = 0` and `−e` at `η = 1`.
//!
//! Positions within a bin are measured by the difference of its knots after rounding. Rounding
//! keeps order, so `0 ≤ ξ ≤ 1` and `0 ≤ η ≤ 1`.
//!
//! The slopes of all bins lie between `h_min` and `1/w_min`, up to a factor of the slopes at the
//! knots, which `d_min` bounds from below. The slope parameters have no upper bound, and their
//! squares overflow float32 when one is 1e19. Elements at or beyond ±B have slope 1 and pass
//! unchanged. The positions of the knots are known to `ε·B`, hence `ξ` is known to `ε·B/w`. Narrow
//! bins therefore cost digits: 1e-4 of the bin at the default minimum and `B = 3`.
//!
//! See [`kernel::spline`](crate::kernel::spline) for the kernels.
//!
//! # Reference
//! Durkan et al. 2019, §3. The minima of 1e-3 are those of the released code; the bound of 3 is
//! that of its tabular experiments. Differs: the slope parameters of the released code have no
//! `c₀`, so zero parameters are not the identity there.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::{Law, LawConfig, RationalQuadraticSplineConfig};
//!
//! let device = Device::flex();
//! let spline = RationalQuadraticSplineConfig::new(2).build()?;
//! // Two bins of equal width, heights as 1 to 3 (up to the minimum), slope 1 between them.
//! let theta = Tensor::<3>::from_data([[[0.0], [0.0], [0.0], [3f32.ln()], [0.0]]], &device);
//! let (z, log_derivative) = spline.forward(Tensor::from_data([[0.0]], &device), theta.clone());
//! let height = 6.0 * (0.001 + 0.998 * 0.25);
//! z.clone().into_data().assert_approx_eq::<f32>(&[[height - 3.0]].into(), Default::default());
//! assert!(log_derivative.into_scalar::<f32>().abs() < 1e-6);
//! assert!(spline.inverse(z, theta).into_scalar::<f32>().abs() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Law, LawConfig};
use crate::error::ConfigError;
use crate::kernel::spline::{self, SplineEnds, SplineShape};

config! {
    /// Configuration of [`RationalQuadraticSpline`].
    #[derive(Debug)]
    pub struct RationalQuadraticSplineConfig {
        /// Number of bins `K`, at least 2.
        pub n_bins: usize,
        /// `B`: the spline acts within ±B.
        pub bound: f64 = 3.0,
        /// Smallest width of a bin, as a share of the total width.
        pub min_width: f64 = 1e-3,
        /// Smallest height of a bin, as a share of the total height.
        pub min_height: f64 = 1e-3,
        /// Smallest slope at a knot.
        pub min_slope: f64 = 1e-3,
    }
}

impl RationalQuadraticSplineConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        validate("RationalQuadraticSplineConfig", self.shape())
    }

    fn shape(&self) -> SplineShape {
        let Self { n_bins, bound, min_width, min_height, min_slope } = *self;
        SplineShape { n_bins, bound, min_width, min_height, min_slope, ends: SplineEnds::Identity }
    }
}

/// Checks what a configuration makes of its spline.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn validate(config: &'static str, spline: SplineShape) -> Result<(), ConfigError> {
    let SplineShape { n_bins, bound, min_width, min_height, min_slope, ends } = spline;
    let out_of_range =
        |field, range, found| Err(ConfigError::OutOfRange { config, field, range, found });
    ConfigError::repeated(config, "n_bins", n_bins)?;
    if n_bins == 1 {
        let needs = match ends {
            SplineEnds::Identity => {
                "a second bin: from corner to corner with slope 1 at both ends, one bin is the \
                 identity whatever theta is"
            }
            SplineEnds::Circular => {
                "a second bin: one bin has only its rotation and the slope at its ends, whatever \
                 its width and height are"
            }
        };
        return Err(ConfigError::Choice { config, field: "n_bins", found: "1", needs });
    }
    // Squares of widths and heights must be float32 values with room to spare.
    if !(1e-3..=1e6).contains(&bound) {
        return out_of_range("bound", "[1e-3, 1e6]", bound);
    }
    for (field, share) in [("min_width", min_width), ("min_height", min_height)] {
        // Knots are running sums of shares, with an error of up to 4 float32 epsilons for each bin.
        // No bin may vanish in this error.
        let bins = n_bins as f64;
        if !(share >= 5e-7 * bins && share * bins < 1.0) {
            return out_of_range(field, "[5e-7·n_bins, 1/n_bins)", share);
        }
    }
    if !(1e-6..1.0).contains(&min_slope) {
        return out_of_range("min_slope", "[1e-6, 1)", min_slope);
    }
    Ok(())
}

impl LawConfig for RationalQuadraticSplineConfig {
    type Law = RationalQuadraticSpline;

    fn build(&self) -> Result<RationalQuadraticSpline, ConfigError> {
        self.validate()?;
        let Self { n_bins, bound, min_width, min_height, min_slope } = *self;
        Ok(RationalQuadraticSpline { n_bins, bound, min_width, min_height, min_slope })
    }
}

/// Monotone rational-quadratic spline. The formulas head this module.
#[derive(Module, Debug)]
pub struct RationalQuadraticSpline {
    n_bins: usize,
    bound: f64,
    min_width: f64,
    min_height: f64,
    min_slope: f64,
}

impl RationalQuadraticSpline {
    fn shape(&self) -> SplineShape {
        let Self { n_bins, bound, min_width, min_height, min_slope } = *self;
        SplineShape { n_bins, bound, min_width, min_height, min_slope, ends: SplineEnds::Identity }
    }
}

impl Law for RationalQuadraticSpline {
    fn n_params(&self) -> usize {
        self.shape().n_params()
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        spline::forward(x, theta, self.shape())
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        spline::inverse(z, theta, self.shape())
    }
}
