//! Softplus that never overflows and has the right derivative everywhere.

use burn::tensor::Tensor;

/// `ln(1 + exp(x))` as `max(x, 0) + ln(1 + exp(−|x|))`, which does not overflow.
///
/// Each side of the mask is the whole function with its whole derivative, so nothing is lost at 0, and the derivative `σ(x)` keeps its bits
/// however small it is: as a sum of derivatives of `x`, `|x|` and the tail it would be rounded to the spacing at 1/2.
///
/// burn's own `softplus` evaluates `exp(x)` and is infinite above 88 in f32.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let positive = x.clone().greater_elem(0.0);
    let tail = x.clone().mask_where(positive.clone(), x.clone().neg()).exp().log1p();
    tail.clone().mask_where(positive, x + tail)
}
