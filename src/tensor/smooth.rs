//! Smooth functions whose values and first derivatives are accurate to rounding wherever they do
//! not underflow.
//! ```text
//! σ(x) = 1/(1 + e^−x)                        σ′ = σ(x)·σ(−x)
//! tanh x                                     tanh′ = 4·e^−2|x|/(1 + e^−2|x|)²
//! ln(1 − tanh² x)                            derivative −2 tanh x
//! elu(x) = max(x, 0) + e^min(x, 0) − 1
//! clip(x) = x/(1 + |x|/a)                    clip′ = 1/(1 + |x|/a)²
//! ```
//! burn differentiates `σ` and `tanh` through their values, as `y(1 − y)` and `1 − y²`. In float32
//! the relative error is 4e-3 at `tanh 7`, and the derivative is 0 from `tanh 9` and `σ(17)` on. A
//! sum of `x` and `|x|` is no better where the two cancel: there the derivative is rounded to the
//! spacing of values at 1/2.
//!
//! Here a mask joins two formulas. The derivative of each is a product, or a sum in which nothing
//! cancels. Each formula sees only the elements of its own side, and a harmless constant in place
//! of the others, so no infinite derivative is multiplied by the 0 of the mask.

use std::f64::consts::LN_2;

use burn::tensor::{Bool, Tensor};

/// `ln(1 + exp(x))` as `max(x, 0) + ln(1 + exp(−|x|))`, which does not overflow.
///
/// Each side of the mask holds the whole function with its whole derivative, so nothing is lost at
/// 0, and the derivative `σ(x)` stays accurate however small it is. As a sum of derivatives of `x`,
/// `|x|` and the tail, it would be rounded to the spacing of values at 1/2.
///
/// burn's own `softplus` evaluates `exp(x)` and is infinite above 88 in f32.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let positive = x.clone().greater_elem(0.0);
    let tail = x.clone().mask_where(positive.clone(), x.clone().neg()).exp().log1p();
    tail.clone().mask_where(positive, x + tail)
}

/// `σ(x) = 1/(1 + e^−x)`.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let positive = x.clone().greater_elem(0.0);
    let e = x.clone().mask_where(positive.clone(), x.neg()).exp();
    let above_half = e.clone().add_scalar(1.0).recip();
    (e * above_half.clone()).mask_where(positive, above_half)
}

/// `tanh x`.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // Within ±1, `1 − tanh²` is at least 0.4.
    let (near, far) = parts(x.clone());
    let e = far.size.mul_scalar(-2.0).exp();
    let size = (e.clone() * e.add_scalar(1.0).recip()).mul_scalar(-2.0).add_scalar(1.0);
    let signed = size.clone().mask_where(x.lower_elem(0.0), size.neg());
    near.tanh().mask_where(far.mask, signed)
}

/// `ln(1 − tanh² x)`, which is `ln 4σ(2x)σ(−2x)`.
pub fn log_tanh_slope<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let (near, far) = parts(x);
    let excess = far.size.clone() + far.size.mul_scalar(-2.0).exp().log1p();
    near.tanh()
        .square()
        .neg()
        .log1p()
        .mask_where(far.mask, excess.sub_scalar(LN_2).mul_scalar(-2.0))
}

/// `ln(1 + y) − ln(1 − y)`: the logit of `p` for `y = p − (1 − p)`. Both terms have the same sign,
/// so the result is accurate for small `y`.
pub fn logit_of_difference<const D: usize>(y: Tensor<D>) -> Tensor<D> {
    y.clone().log1p() - y.neg().log1p()
}

/// `x` above 0, `e^x − 1` below, with slope 1 at 0.
pub fn elu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let positive = x.clone().greater_elem(0.0);
    let below = x.clone().mask_fill(positive.clone(), 0.0).exp().sub_scalar(1.0);
    below.mask_where(positive, x)
}

/// `x/(1 + |x|/a)`, which is within ±`a`: near 0 it is `x`, far away it approaches `±a`.
///
/// Beyond ±`a` it is computed as `±(a − a/(1 + |x|/a))`. The derivative of the quotient would
/// cancel there.
pub fn soft_clip<const D: usize>(x: Tensor<D>, a: f64) -> Tensor<D> {
    let Far { mask, size } = parts(x.clone().mul_scalar(1.0 / a)).1;
    let far = size.add_scalar(1.0).recip().mul_scalar(-a).add_scalar(a);
    let signed = far.clone().mask_where(x.clone().lower_elem(0.0), far.neg());
    let near = x.mask_fill(mask.clone(), 0.0);
    let above_one = near.clone().abs().mul_scalar(1.0 / a).add_scalar(1.0);
    (near * above_one.recip()).mask_where(mask, signed)
}

/// Elements with `|x| > 1`.
struct Far<const D: usize> {
    mask: Tensor<D, Bool>,
    /// `|x|` of these elements, 1 elsewhere.
    size: Tensor<D>,
}

/// Elements within ±1, 0 elsewhere, and the others.
fn parts<const D: usize>(x: Tensor<D>) -> (Tensor<D>, Far<D>) {
    let mask = x.clone().abs().greater_elem(1.0);
    let size = x.clone().mask_where(x.clone().lower_elem(0.0), x.clone().neg());
    (
        x.mask_fill(mask.clone(), 0.0),
        Far { size: size.mask_fill(mask.clone().bool_not(), 1.0), mask },
    )
}
