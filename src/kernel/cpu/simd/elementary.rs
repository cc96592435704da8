//! Elementary functions without branches or calls, so that loops over them vectorise.
//!
//! Errors are at most 2 units in the last place wherever argument and result are normal numbers;
//! the tests measure them.

use super::{MultiplyAdd, Real};

/// `e^x` for `x` in [`Real::EXP_RANGE`]. NaN gives NaN; for any other argument the result has no
/// meaning.
///
/// `x = n ln 2 + r` with `n` the nearest integer, then `2^n + 2^n (r + r² q(r))`.
#[inline(always)]
pub fn exp_in_range<T: Real, M: MultiplyAdd>(x: T) -> T {
    let rounded = M::mul_add(x, T::LOG2_E, T::ROUNDER);
    let n = rounded - T::ROUNDER;
    let r = M::mul_add(n, -T::LN_2_LOW, M::mul_add(n, -T::LN_2_HIGH, x));
    let growth = M::mul_add(r * r, horner::<T, M>(T::EXP_POLYNOMIAL, r), r);
    let power = rounded.power_of_low_bits();
    M::mul_add(power, growth, power)
}

/// `e^x`. Below [`Real::EXP_RANGE`], where the result would be subnormal, it is 0. Above it the
/// result is ∞, which begins a few tenths below the point of overflow. NaN gives NaN.
#[inline(always)]
pub fn exp<T: Real, M: MultiplyAdd>(x: T) -> T {
    let (lowest, highest) = T::EXP_RANGE;
    let y = exp_in_range::<T, M>(x);
    let y = if x < lowest { T::zero() } else { y };
    if x > highest { T::infinity() } else { y }
}

/// `ln x`. `ln 0 = −∞`, `ln ∞ = ∞`; negative numbers and NaN give NaN.
///
/// `x = m 2^e` with `m` in `[√½, √2)`; with `f = m − 1` and `s = f/(2 + f)`,
/// `ln m = f − f²/2 + s (f²/2 + s² p(s²))`, the form of FreeBSD's `e_log.c`.
#[inline(always)]
pub fn ln<T: Real, M: MultiplyAdd>(x: T) -> T {
    let (normaliser, shift) = T::NORMALISER;
    let subnormal = x < T::min_positive_value();
    let (m, e) = (if subnormal { x * normaliser } else { x }).mantissa_and_exponent();
    let e = if subnormal { e - shift } else { e };
    let f = m - T::one();
    let s = f / (f + T::of(2.0));
    let y = s * s;
    let p = y * horner::<T, M>(T::LN_POLYNOMIAL, y);
    let half_square = T::of(0.5) * f * f;
    let tail = M::mul_add(s, half_square + p, e * T::LN_2_LOW);
    let ln = M::mul_add(e, T::LN_2_HIGH, f - (half_square - tail));
    let ln = if x == T::zero() { T::neg_infinity() } else { ln };
    // False for NaN too.
    let ln = if x >= T::zero() { ln } else { T::nan() };
    if x == T::infinity() { x } else { ln }
}

/// `(tanh x, 1 − tanh² x)`. The second stays accurate however close to 1 the first is.
#[inline(always)]
pub fn tanh<T: Real, M: MultiplyAdd>(x: T) -> (T, T) {
    let (lowest, _) = T::EXP_RANGE;
    // At most 0: in range.
    let e = exp_in_range::<T, M>(larger(-(x + x).abs(), lowest));
    let r = T::one() / (T::one() + e);
    let size = (T::one() - e) * r;
    (if x < T::zero() { -size } else { size }, T::of(4.0) * e * r * r)
}

/// `(e^x − 1, e^x)` for `x ≤ 0`; NaN gives NaN.
///
/// `x = n ln 2 + r` with `n` the nearest integer; with `g = e^r − 1 = r + r² q(r)`,
/// `e^x − 1 = 2^n g + (2^n − 1)`. For `n = 0` the last term is 0 and nothing cancels; for `n ≤ −1`
/// the sum lies in `(−1, −0.29)`, so it is far larger than the errors of its terms.
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
/// The sum `u = 1 + e` is rounded. Its rounding error `e − (u − 1)` is computed exactly and added
/// back to first order; the remaining error is of second order.
#[inline(always)]
pub fn log1p_of_unit<T: Real, M: MultiplyAdd>(e: T) -> T {
    let u = T::one() + e;
    ln::<T, M>(u) + (e - (u - T::one())) / u
}

/// The larger one; `a` if either is NaN.
#[inline(always)]
pub fn larger<T: Real>(a: T, b: T) -> T {
    if b > a { b } else { a }
}

/// `min(max(x, low), high)`; NaN stays NaN.
#[inline(always)]
pub fn clamp<T: Real>(x: T, low: T, high: T) -> T {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Polynomial with these coefficients, constant first. The loop is unrolled: its length is a
/// constant.
#[inline(always)]
fn horner<T: Real, M: MultiplyAdd>(coefficients: &'static [T], x: T) -> T {
    let mut sum = coefficients[coefficients.len() - 1];
    for index in (0..coefficients.len() - 1).rev() {
        sum = M::mul_add(sum, x, coefficients[index]);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::{Fused, InstructionSet, Kernel, LANES, Unfused};
    use super::*;

    struct Map<'a, T, F>(&'a mut [T], F);

    impl<T: Real, F: Fn(T) -> T> Kernel for Map<'_, T, F> {
        type Output = ();

        #[inline(always)]
        fn run<M: MultiplyAdd>(self) {
            for lanes in self.0.as_chunks_mut::<LANES>().0 {
                for x in lanes {
                    *x = (self.1)(*x);
                }
            }
        }
    }

    /// Arguments between two bounds, evenly spaced.
    fn between(low: f64, high: f64, n: usize) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| low + (high - low) * i as f64 / (n - 1) as f64)
    }

    fn worst_ulps_f32(
        f: impl Fn(f32) -> f32,
        truth: impl Fn(f64) -> f64,
        arguments: impl Iterator<Item = f64>,
    ) -> f64 {
        let ulps = arguments.map(|x| {
            let (x, y) = (x as f32, truth(f64::from(x as f32)));
            let ulp = f64::from((y as f32).abs().next_up()) - f64::from((y as f32).abs());
            (f64::from(f(x)) - y).abs() / ulp
        });
        ulps.fold(0.0, f64::max)
    }

    /// Largest error against the standard library, which is itself within 1 unit.
    fn worst_ulps_f64(
        f: impl Fn(f64) -> f64,
        truth: impl Fn(f64) -> f64,
        arguments: impl Iterator<Item = f64>,
    ) -> f64 {
        let ulps = arguments.map(|x| {
            let y = truth(x);
            (f(x) - y).abs() / (y.abs().next_up() - y.abs())
        });
        ulps.fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_two_units() {
        let n = 1_000_001;
        assert!(worst_ulps_f32(exp::<f32, Fused>, f64::exp, between(-87.3, 88.3, n)) < 1.5);
        assert!(worst_ulps_f32(exp::<f32, Unfused>, f64::exp, between(-87.3, 88.3, n)) < 2.0);
        assert!(worst_ulps_f64(exp::<f64, Fused>, f64::exp, between(-708.0, 709.0, n)) < 2.0);
        assert!(worst_ulps_f64(exp::<f64, Unfused>, f64::exp, between(-708.0, 709.0, n)) < 2.0);
        assert!(worst_ulps_f32(exp::<f32, Fused>, f64::exp, between(-1.0, 1.0, n)) < 1.5);
    }

    #[test]
    fn ln_is_within_two_units() {
        let n = 1_000_001;
        let powers = || between(-700.0, 700.0, n).map(f64::exp);
        let near_one = || between(0.5, 2.0, n);
        assert!(
            worst_ulps_f32(ln::<f32, Fused>, f64::ln, between(-100.0, 88.0, n).map(f64::exp)) < 2.0
        );
        assert!(worst_ulps_f32(ln::<f32, Unfused>, f64::ln, near_one()) < 2.0);
        assert!(worst_ulps_f64(ln::<f64, Fused>, f64::ln, powers()) < 2.0);
        assert!(worst_ulps_f64(ln::<f64, Unfused>, f64::ln, near_one()) < 2.0);
    }

    #[test]
    fn ends_of_the_line() {
        let exp32 = exp::<f32, Fused>;
        assert_eq!(exp32(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp32(-88.0), 0.0);
        assert_eq!(exp32(89.0), f32::INFINITY);
        assert_eq!(exp32(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp32(0.0), 1.0);
        assert!(exp32(f32::NAN).is_nan());
        assert!(exp32(f32::from_bits(0x7fc0_0001)).is_nan());
        let ln64 = ln::<f64, Fused>;
        assert_eq!(ln64(0.0), f64::NEG_INFINITY);
        assert_eq!(ln64(f64::INFINITY), f64::INFINITY);
        assert_eq!(ln64(1.0), 0.0);
        assert!(ln64(-1.0).is_nan() && ln64(f64::NAN).is_nan());
        assert!((ln64(5e-324) - 5e-324f64.ln()).abs() < 1e-12);
        assert!((ln::<f32, Fused>(1e-45) - 1e-45f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn tanh_and_its_complement() {
        for x in between(-30.0, 30.0, 601) {
            let (t, c) = tanh::<f64, Fused>(x);
            assert!((t - x.tanh()).abs() < 4e-16);
            assert!((c * x.cosh().powi(2) - 1.0).abs() < 1e-14);
        }
        assert_eq!(tanh::<f32, Fused>(f32::NEG_INFINITY).0, -1.0);
        assert!(tanh::<f32, Fused>(f32::NAN).0.is_nan());
    }

    #[test]
    fn instruction_sets_agree() {
        let arguments: Vec<f32> = between(-80.0, 80.0, 1600).map(|x| x as f32).collect();
        for set in InstructionSet::available() {
            let mut y = arguments.clone();
            set.dispatch(Map(&mut y, exp::<f32, Unfused>));
            assert!(y.iter().zip(&arguments).all(|(&y, &x)| y == exp::<f32, Unfused>(x)));
        }
    }

    fn negative_arguments() -> impl Iterator<Item = f64> {
        let near_zero = (0..4000).map(|i| -(10f64).powf(-f64::from(i) / 200.0));
        near_zero.chain((0..20_000).map(|i| -f64::from(i) * 1e-3))
    }

    #[test]
    fn exp_m1_keeps_its_bits_near_zero() {
        for x in negative_arguments() {
            let single = x as f32;
            let truth = f64::from(single);
            for (minus_one, power) in [
                exp_m1_of_negative::<f32, Fused>(single),
                exp_m1_of_negative::<f32, Unfused>(single),
            ] {
                let error = (f64::from(minus_one) - truth.exp_m1()).abs();
                assert!(error <= 2e-7 * truth.exp_m1().abs(), "{x}: {error:e}");
                assert!((f64::from(power) / truth.exp() - 1.0).abs() < 2e-7);
            }
            for (minus_one, power) in
                [exp_m1_of_negative::<f64, Fused>(x), exp_m1_of_negative::<f64, Unfused>(x)]
            {
                let error = (minus_one - x.exp_m1()).abs();
                assert!(error <= 5e-16 * x.exp_m1().abs(), "{x}: {error:e}");
                assert!((power / x.exp() - 1.0).abs() < 5e-16);
            }
        }
    }

    #[test]
    fn log1p_keeps_its_bits_near_zero() {
        for x in negative_arguments() {
            let e = x.exp();
            let single = e as f32;
            let truth = f64::from(single).ln_1p();
            for found in
                [log1p_of_unit::<f32, Fused>(single), log1p_of_unit::<f32, Unfused>(single)]
            {
                assert!((f64::from(found) - truth).abs() <= 2e-7 * truth, "{single:e}: {found:e}");
            }
            for found in [log1p_of_unit::<f64, Fused>(e), log1p_of_unit::<f64, Unfused>(e)] {
                assert!((found - e.ln_1p()).abs() <= 5e-16 * e.ln_1p(), "{e:e}: {found:e}");
            }
        }
        assert!(log1p_of_unit::<f32, Fused>(f32::NAN).is_nan());
    }
}
