//! Pieces of smooth functions that are safe at every argument and have the right derivative at 0.

use burn::tensor::Tensor;

/// `max(x, 0)` as `(x + |x|)/2`, with derivative 1/2 at 0.
///
/// Smooth functions made of a positive part and a tail get their right derivative at 0 by it; a mask there would lose half of it. Exact: `x`
/// and `|x|` are equal or cancel. `−∞` gives NaN.
pub fn positive_part<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    (x.clone() + x.abs()).mul_scalar(0.5)
}

/// `ln(1 + exp(x))` as `max(x, 0) + ln(1 + exp(−|x|))`, which does not overflow.
///
/// burn's own `softplus` evaluates `exp(x)` and is infinite above 88 in f32.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let tail = x.clone().abs().neg().exp().log1p();
    positive_part(x) + tail
}
