//! The standard normal distribution between the logits of its distribution function and its
//! quantiles.
//! ```text
//! z = Φ⁻¹(σ(t))          ln ∂z/∂t = ln σ(t) + ln σ(−t) − ln φ(z)
//! t = ln Φ(z) − ln Φ(−z)
//! φ(z) = e^(−z²/2)/√2π,  Φ its integral,  λ(z) = φ(z)/Φ(−z),  S(z) = λ(z) − z
//! ```
//! Both are odd, so only `t ≥ 0` and `z ≥ 0` are computed. A probability near 0 or 1 is never
//! formed: `w = −ln Φ(−z) = ln(1 + e^t)` takes its place, which is accurate in both tails.
//!
//! # Numerics
//! `S` decreases from `√(2/π)` to 0, as `1/z`. `(z + 2)·S(z)` is a Chebyshev series in
//! `(z − 4)/(z + 4)`, whose coefficients were computed with 40 digits from the definition, or from
//! Laplace's continued fraction where that loses digits. With it nothing cancels:
//! ```text
//! ln Φ(−z) = −z²/2 − ½ ln 2π − ln(z + S)     ln ∂z/∂t = −ln(1 + e^−t) − ln(z + S)
//! λ′ = λ·S                                   ∂/∂t ln ∂z/∂t = σ(−t) − S·∂z/∂t
//! ```
//! The quantile is a rational function on three ranges (Wichura 1988, AS 241, PPND16), in
//! `½ tanh(t/2)` up to `t = 2.5`, then in `√w` up to 26, which is `z = 36.5`. Beyond, `y = z²` is
//! the fixed point of `y = 2w − ln 2π − ln y − 2/y + 5/y² − ...`, whose last terms are those of
//! `2 ln(1 + S/z)`. A step of the iteration divides its error by more than 1000.
//!
//! For the logit up to `z = 1`, `2Φ(z) − 1 = 2zφ(z) Σ z^2k/(2k + 1)!!` is a sum of positive terms.
//!
//! Values are computed outside the graph; their first derivatives are attached, so a backward pass
//! costs two products.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI, SQRT_2};

use burn::tensor::{DType, Tensor};

use super::dtype::{cast, wide};
use super::smooth::{logit_of_difference, sigmoid, softplus, tanh};

/// Coefficients of `T_k((z − 4)/(z + 4))` in `(z + 2)·S(z)`.
const EXCESS: [f64; 29] = [
    1.332_141_769_309_022_7,
    -0.330_379_676_591_958_16,
    -0.028_480_140_018_087_245,
    0.033_478_734_205_620_23,
    -0.006_338_008_820_780_321,
    -0.000_967_923_659_916_817_7,
    0.000_598_812_068_013_304_5,
    -2.148_148_306_125_517e-5,
    -3.995_478_839_809_885e-5,
    6.416_262_895_269_47e-6,
    2.172_902_110_678_259e-6,
    -6.818_444_747_925_726e-7,
    -9.196_864_434_922_282e-8,
    5.606_116_362_486_33e-8,
    2.005_399_941_747_649_7e-9,
    -3.993_619_150_989_986_6e-9,
    1.363_165_778_050_266_3e-10,
    2.542_429_117_494_525_4e-10,
    -2.423_950_576_756_002e-11,
    -1.443_540_625_678_552_7e-11,
    2.317_611_300_019_290_7e-12,
    7.034_647_178_938_928e-13,
    -1.770_138_973_539_551_4e-13,
    -2.548_299_255_996_729_4e-14,
    1.174_614_345_368_394e-14,
    1.459_263_335_339_329e-16,
    -6.988_531_437_095_887e-16,
    9.040_417_300_626_496e-17,
    3.794_564_543_245_190_3e-17,
];

/// Coefficients that count in float32: the rest sums to 2e-8.
const EXCESS_IN_SINGLE: usize = 14;

/// Numerator and denominator of a quantile, from the constant coefficient on.
type Rational = ([f64; 8], [f64; 8]);

/// `z/y` in `0.425² − y²`, for `y = ½ tanh(t/2)`.
const CENTRE: Rational = (
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_854,
    ],
);

/// `z` in `√w − 1.6`.
const SIDE: Rational = (
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        0.000_774_545_014_278_341_4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        0.000_547_593_808_499_534_5,
        1.050_750_071_644_416_9e-9,
    ],
);

/// `z` in `√w − 5`.
const TAIL: Rational = (
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        0.000_786_869_131_145_613_3,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_7e-15,
    ],
);

/// Where one formula of the quantile ends and the next begins: `t`, then `√w` twice.
const CENTRE_END: f64 = 2.5;
const SIDE_END: f64 = 5.0;
const TAIL_END: f64 = 26.0;

/// Coefficients of `ln(1 + S/z)` in `1/y`, from the first power on: with five of them it is exact
/// to 1e-17 from `y = 1300` on.
const SERIES: [f64; 5] = [1.0, -2.5, 37.0 / 3.0, -353.0 / 4.0, 816.2];

/// Steps of the fixed point.
const STEPS: usize = 4;

/// `1/(2k + 1)!!`: the terms of `2Φ(z) − 1` for `z` up to 1. The next is 2e-18.
const ODD_FACTORIALS: usize = 16;

/// `Φ⁻¹(σ(t))` and the logarithm of its derivative.
pub(crate) fn probit_of_logit<const D: usize>(t: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    let dtype = t.dtype();
    let t = cast(t, wide(dtype));
    let known = t.clone().inner();
    let size = known.clone().abs();
    // What is not finite passes.
    let lost = known.clone().is_finite().bool_not();
    let z = quantile(size.clone()).mask_where(lost.clone(), size.clone());
    let excess = excess(z.clone());
    let log_slope = softplus(size.clone().neg()).neg() - (z.clone() + excess.clone()).log();
    let negative = known.clone().lower_elem(0.0);
    let signed = z.clone().mask_where(negative.clone(), z.neg());
    if !t.is_autodiff() {
        return (cast(signed, dtype), cast(log_slope, dtype));
    }
    let slope = log_slope.clone().exp();
    let bend = sigmoid(size.neg()) - excess * slope.clone();
    let bend = bend.clone().mask_where(negative, bend.neg());
    // Exactly 0, with the gradient of `t`.
    let change = (t - known.clone()).mask_fill(lost, 0.0);
    let (z, log_slope) = (signed + change.clone() * slope, log_slope + change * bend);
    (cast(z, dtype), cast(log_slope, dtype))
}

/// `ln Φ(z) − ln Φ(−z)`.
pub(crate) fn logit_of_probit<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    let dtype = z.dtype();
    let z = cast(z, wide(dtype));
    let known = z.clone().inner();
    let size = known.clone().abs();
    let hazard = size.clone() + excess(size.clone());
    let lost = known.clone().is_finite().bool_not();
    let t = logit(size.clone(), hazard.clone()).mask_where(lost.clone(), size);
    let negative = known.clone().lower_elem(0.0);
    let signed = t.clone().mask_where(negative, t.clone().neg());
    if !z.is_autodiff() {
        return cast(signed, dtype);
    }
    // `∂t/∂z = φ/(Φ(z)·Φ(−z)) = λ(z)/Φ(z)`, and `Φ(z) = σ(t)`.
    let slope = hazard * t.neg().exp().add_scalar(1.0);
    let change = (z - known.clone()).mask_fill(lost, 0.0);
    cast(signed + change * slope, dtype)
}

/// The logit of `Φ(z)` for `z ≥ 0`, given `λ(z)`.
fn logit<const D: usize>(z: Tensor<D>, hazard: Tensor<D>) -> Tensor<D> {
    let far = z.clone().greater_elem(1.0);
    let near = z.clone().clamp_max(1.0);
    let square = near.clone().square();
    let mut terms = vec![1.0];
    for k in 1..ODD_FACTORIALS {
        terms.push(terms[k - 1] / (2 * k + 1) as f64);
    }
    let density = square.clone().mul_scalar(-0.5).exp().mul_scalar(2.0 / (2.0 * PI).sqrt());
    let centre = logit_of_difference(near * density * polynomial(&square, &terms));
    // Squared after the product, since `z²` may overflow where its half does not.
    let half_square = z.mul_scalar(FRAC_1_SQRT_2).square();
    let w = half_square.add_scalar(0.5 * (2.0 * PI).ln()) + hazard.log();
    let tail = w.clone() + w.neg().exp().neg().log1p();
    centre.mask_where(far, tail)
}

/// `S(z)` for `z ≥ 0`, by Clenshaw's recurrence.
fn excess<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    let n = if z.dtype() == DType::F64 { EXCESS.len() } else { EXCESS_IN_SINGLE };
    // `(z − 4)/(z + 4)`, which is 1 for an infinite `z`.
    let y = z.clone().add_scalar(4.0).recip().mul_scalar(-8.0).add_scalar(1.0);
    let twice = y.clone().mul_scalar(2.0);
    let (mut last, mut before) = (y.zeros_like(), y.zeros_like());
    for coefficient in EXCESS[1..n].iter().rev() {
        let next = twice.clone() * last.clone() - before;
        (before, last) = (last, next.add_scalar(*coefficient));
    }
    (y * last - before).add_scalar(EXCESS[0]) / z.add_scalar(2.0)
}

/// `Φ⁻¹(σ(t))` for `t ≥ 0`. Each formula is computed for all elements, held to its own range, and
/// kept where that holds the element.
fn quantile<const D: usize>(t: Tensor<D>) -> Tensor<D> {
    let y = tanh(t.clone().clamp_max(CENTRE_END).mul_scalar(0.5)).mul_scalar(0.5);
    let place = y.clone().square().neg().add_scalar(0.425 * 0.425);
    let centre = y * ratio(&place, &CENTRE);
    let w = softplus(t.clone());
    let root = w.clone().sqrt();
    let side = ratio(&root.clone().clamp_max(SIDE_END).sub_scalar(1.6), &SIDE);
    let tail = ratio(&root.clone().clamp(SIDE_END, TAIL_END).sub_scalar(SIDE_END), &TAIL);
    let beyond = farther(w.clamp_min(TAIL_END * TAIL_END));
    centre
        .mask_where(t.greater_elem(CENTRE_END), side)
        .mask_where(root.clone().greater_elem(SIDE_END), tail)
        .mask_where(root.greater_elem(TAIL_END), beyond)
}

/// `z` for `w = −ln Φ(−z)` of at least 676. The unknown is `y/2`, since `2w` may overflow.
fn farther<const D: usize>(w: Tensor<D>) -> Tensor<D> {
    let fixed = w.sub_scalar(0.5 * (2.0 * PI).ln());
    let half_log = |half: &Tensor<D>| half.clone().log().add_scalar(LN_2).mul_scalar(0.5);
    let mut half = fixed.clone() - half_log(&fixed);
    for _ in 0..STEPS {
        let inverse = half.clone().recip().mul_scalar(0.5);
        let rest = polynomial(&inverse, &SERIES) * inverse;
        half = fixed.clone() - half_log(&half) - rest;
    }
    half.sqrt().mul_scalar(SQRT_2)
}

fn ratio<const D: usize>(x: &Tensor<D>, (above, below): &Rational) -> Tensor<D> {
    polynomial(x, above) / polynomial(x, below)
}

/// A polynomial, from its constant coefficient on, by Horner's rule.
fn polynomial<const D: usize>(x: &Tensor<D>, coefficients: &[f64]) -> Tensor<D> {
    let mut sum = x.zeros_like();
    for coefficient in coefficients.iter().rev() {
        sum = (sum * x.clone()).add_scalar(*coefficient);
    }
    sum
}
