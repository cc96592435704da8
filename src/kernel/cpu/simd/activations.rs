//! Activations of networks and their slopes, without branches or calls, so that loops over them
//! vectorise.

use super::elementary::exp_m1_of_negative;
use super::{MultiplyAdd, Real, exp_in_range, larger};

/// `(elu(x), elu(−x))` with `elu(v) = v` for `v > 0`, `e^v − 1` below. One exponential suffices for
/// both, since one of the arguments is not negative.
#[inline(always)]
pub fn elu_pair<T: Real, M: MultiplyAdd>(x: T) -> (T, T) {
    let (below, _) = exp_m1_of_negative::<T, M>(-x.abs());
    (if x > T::zero() { x } else { below }, if x < T::zero() { -x } else { below })
}

/// `(elu′(x), elu′(−x))`; at 0 both are 1.
#[inline(always)]
pub fn elu_pair_slopes<T: Real, M: MultiplyAdd>(x: T) -> (T, T) {
    let (_, below) = exp_m1_of_negative::<T, M>(-x.abs());
    (if x > T::zero() { T::one() } else { below }, if x < T::zero() { T::one() } else { below })
}

/// `(σ(x), 1 − σ(x))`, both to full relative accuracy where they are normal numbers.
#[inline(always)]
pub fn sigmoid<T: Real, M: MultiplyAdd>(x: T) -> (T, T) {
    let (lowest, _) = T::EXP_RANGE;
    let e = exp_in_range::<T, M>(larger(-x.abs(), lowest));
    let above_half = T::one() / (T::one() + e);
    let below_half = e * above_half;
    if x < T::zero() { (below_half, above_half) } else { (above_half, below_half) }
}

#[cfg(test)]
mod tests {
    use super::super::{Fused, Unfused};
    use super::*;

    fn arguments() -> impl Iterator<Item = f64> {
        let near_zero = (0..4000).map(|i| -(10f64).powf(-f64::from(i) / 200.0));
        near_zero.chain((0..20_000).map(|i| -f64::from(i) * 1e-3))
    }

    #[test]
    fn elu_at_zero_and_at_the_ends() {
        assert_eq!(elu_pair::<f32, Fused>(0.0), (0.0, 0.0));
        assert_eq!(elu_pair_slopes::<f32, Fused>(0.0), (1.0, 1.0));
        assert_eq!(elu_pair::<f32, Fused>(1e4), (1e4, -1.0));
        assert_eq!(elu_pair::<f64, Fused>(-1e4), (-1.0, 1e4));
        assert!(elu_pair::<f32, Fused>(f32::NAN).0.is_nan());
        assert!(elu_pair::<f32, Fused>(f32::NAN).1.is_nan());
    }

    #[test]
    fn sigmoid_of_both_signs() {
        for x in arguments() {
            let truth = 1.0 / (1.0 + (-x).exp());
            for (s, c) in [sigmoid::<f64, Fused>(x), {
                let (c, s) = sigmoid::<f64, Unfused>(-x);
                (s, c)
            }] {
                assert!((s / truth - 1.0).abs() < 1e-15 && (c - (1.0 - truth)).abs() < 3e-16);
            }
        }
        assert!(sigmoid::<f32, Fused>(f32::NAN).0.is_nan());
        assert_eq!(sigmoid::<f32, Fused>(1e4).0, 1.0);
    }
}
