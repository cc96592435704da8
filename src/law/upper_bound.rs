//! Smooth upper bound of log-scales.
//! ```text
//! k = s_max − 2,  r = max(s − k, 0)/2          bounded(s) = min(s, k) + 2·(1 − 1/(1 + r + r²))
//! ```
//! Up to the knee `k` it is the identity to the bit; above `k` it increases towards `s_max`. Its
//! value, its slope `(1 + 2r)/(1 + r + r²)²` and its curvature are continuous, since
//! `1 − 1/(1 + r + r²) = r − r³ + ...`. The slope is positive everywhere and falls only like
//! `2/r³`, so a log-scale that is far too large still has a gradient.

use burn::tensor::Tensor;

/// Distance from the knee to the bound.
pub(super) const WIDTH: f64 = 2.0;

/// `s` itself up to the knee, bounded by `max` above it.
pub(super) fn bounded<const D: usize>(s: Tensor<D>, max: f64) -> Tensor<D> {
    let knee = max - WIDTH;
    // Masks, not clamps: at the knee itself both clamps would pass the gradient, and it would count
    // twice.
    let above = s.clone().greater_elem(knee);
    let r =
        s.clone().sub_scalar(knee).mul_scalar(1.0 / WIDTH).mask_fill(above.clone().bool_not(), 0.0);
    // `r²` may overflow. The reciprocal is then 0, which is the correct limit.
    let rest = (r.clone().square() + r).add_scalar(1.0).recip();
    s.mask_fill(above, knee) + rest.neg().add_scalar(1.0).mul_scalar(WIDTH)
}
