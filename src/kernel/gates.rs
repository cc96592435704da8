//! Functions of networks, made from the exponential: without branches or calls, so that loops over them vectorise.

use super::simd::{MultiplyAdd, Real, exp_in_range, larger, ln};

/// `(e^x − 1, e^x)` for `x ≤ 0`; NaN gives NaN.
///
/// `x = n ln 2 + r` with `n` the nearest integer; with `g = e^r − 1 = r + r² q(r)`, `e^x − 1 = 2^n g + (2^n − 1)`. For `n = 0` the last term is
/// 0 and nothing cancels; for `n ≤ −1` the sum lies in `(−1, −0.29)`, no smaller than its terms' errors by far.
#[inline(always)]
pub fn exp_m1_of_negative<T: Real, M: MultiplyAdd>(x: T) -> (T, T) {
    let (lowest, _) = T::EXP_RANGE;
    let x = larger(x, lowest);
    let rounded = M::mul_add(x, T::LOG2_E, T::ROUNDER);
    let n = rounded - T::ROUNDER;
    let r = M::mul_add(n, -T::LN_2_LOW, M::mul_add(n, -T::LN_2_HIGH, x));
    let mut q = T::EXP_POLYNOMIAL[T::EXP_POLYNOMIAL.len() - 1];
    for index in (0..T::EXP_POLYNOMIAL.len() - 1).rev() {
        q = M::mul_add(q, r, T::EXP_POLYNOMIAL[index]);
    }
    let growth = M::mul_add(r * r, q, r);
    let power = rounded.power_of_low_bits();
    (M::mul_add(power, growth, power - T::one()), M::mul_add(power, growth, power))
}

/// `ln(1 + e)` for `e` in `[0, 1]`; NaN gives NaN.
///
/// The sum rounds; what it loses, `e − (u − 1)` with `u = 1 + e`, is exact and is given back to first order: the rest is its square.
#[inline(always)]
pub fn log1p_of_unit<T: Real, M: MultiplyAdd>(e: T) -> T {
    let u = T::one() + e;
    ln::<T, M>(u) + (e - (u - T::one())) / u
}

/// `(elu(x), elu(−x))` with `elu(v) = v` for `v > 0`, `e^v − 1` below. One exponential serves both: one of the arguments is not negative.
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
    use super::super::simd::{Fused, Unfused};
    use super::*;

    fn arguments() -> impl Iterator<Item = f64> {
        let near_zero = (0..4000).map(|i| -(10f64).powf(-f64::from(i) / 200.0));
        near_zero.chain((0..20_000).map(|i| -f64::from(i) * 1e-3))
    }

    #[test]
    fn exp_m1_keeps_its_bits_near_zero() {
        for x in arguments() {
            let single = x as f32;
            let truth = f64::from(single);
            for (minus_one, power) in
                [exp_m1_of_negative::<f32, Fused>(single), exp_m1_of_negative::<f32, Unfused>(single)]
            {
                let error = (f64::from(minus_one) - truth.exp_m1()).abs();
                assert!(error <= 2e-7 * truth.exp_m1().abs(), "{x}: {error:e}");
                assert!((f64::from(power) / truth.exp() - 1.0).abs() < 2e-7);
            }
            for (minus_one, power) in [exp_m1_of_negative::<f64, Fused>(x), exp_m1_of_negative::<f64, Unfused>(x)] {
                let error = (minus_one - x.exp_m1()).abs();
                assert!(error <= 5e-16 * x.exp_m1().abs(), "{x}: {error:e}");
                assert!((power / x.exp() - 1.0).abs() < 5e-16);
            }
        }
    }

    #[test]
    fn log1p_keeps_its_bits_near_zero() {
        for x in arguments() {
            let e = x.exp();
            let single = e as f32;
            let truth = f64::from(single).ln_1p();
            for found in [log1p_of_unit::<f32, Fused>(single), log1p_of_unit::<f32, Unfused>(single)] {
                assert!((f64::from(found) - truth).abs() <= 2e-7 * truth, "{single:e}: {found:e}");
            }
            for found in [log1p_of_unit::<f64, Fused>(e), log1p_of_unit::<f64, Unfused>(e)] {
                assert!((found - e.ln_1p()).abs() <= 5e-16 * e.ln_1p(), "{e:e}: {found:e}");
            }
        }
        assert!(log1p_of_unit::<f32, Fused>(f32::NAN).is_nan());
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
