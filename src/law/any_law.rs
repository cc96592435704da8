//! A law chosen by a configuration.

use super::{
    Affine, AffineConfig, Bernstein, BernsteinConfig, CircularSpline, CircularSplineConfig,
    FlooredAffine, FlooredAffineConfig, Gaussianization, GaussianizationConfig, MixLogCdf,
    MixLogCdfConfig, RationalQuadraticSpline, RationalQuadraticSplineConfig, SoftClipSpline,
    SoftClipSplineConfig,
};

crate::choice! {
    /// One of the laws.
    pub enum AnyLaw: Law,
    /// Configuration of [`AnyLaw`].
    AnyLawConfig: LawConfig {
        /// Scale and shift.
        Affine(Affine, AffineConfig),
        /// The logit of a logistic mixture's distribution function, scale and shift.
        MixLogCdf(MixLogCdf, MixLogCdfConfig),
        /// Monotone rational-quadratic spline.
        RationalQuadraticSpline(RationalQuadraticSpline, RationalQuadraticSplineConfig),
        /// Monotone rational-quadratic spline of a circle, and a rotation.
        CircularSpline(CircularSpline, CircularSplineConfig),
        /// Increasing Bernstein polynomial.
        Bernstein(Bernstein, BernsteinConfig),
        /// The normal quantile of a logistic mixture's distribution function.
        Gaussianization(Gaussianization, GaussianizationConfig),
        /// Scale and shift, with a smallest scale.
        FlooredAffine(FlooredAffine, FlooredAffineConfig),
        /// Monotone rational-quadratic spline of parameters that are clipped softly.
        SoftClipSpline(SoftClipSpline, SoftClipSplineConfig),
    }
}
