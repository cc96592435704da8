//! The scale of each form and its derivatives, for one element. For the symbols see the module of
//! the operation.

use crate::kernel::cpu::simd::{MultiplyAdd, Real, exp, exp_in_range, ln, tanh};
use crate::kernel::cpu::simd::{log1p_of_unit, sigmoid};

/// The scale of one form.
pub trait AffineScale {
    /// `a`: the multiple of the shift that is added before the scale.
    const BEFORE: f64;
    /// `b`: the multiple that is added after it.
    const AFTER: f64;

    /// `e^ℓ` and `ℓ′`.
    fn scale<T: Real, M: MultiplyAdd>(s: T) -> (T, T);

    /// `e^−ℓ`.
    fn inverse_scale<T: Real, M: MultiplyAdd>(s: T) -> T;

    /// `ℓ`.
    fn log_scale<T: Real, M: MultiplyAdd>(s: T) -> T;
}

pub struct Exponential;

impl AffineScale for Exponential {
    const BEFORE: f64 = 0.0;
    const AFTER: f64 = 1.0;

    #[inline(always)]
    fn scale<T: Real, M: MultiplyAdd>(s: T) -> (T, T) {
        let (log_scale, slope) = tanh::<T, M>(s);
        (exp_in_range::<T, M>(log_scale), slope)
    }

    #[inline(always)]
    fn inverse_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        exp_in_range::<T, M>(-tanh::<T, M>(s).0)
    }

    #[inline(always)]
    fn log_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        tanh::<T, M>(s).0
    }
}

pub struct Sigmoid;

impl AffineScale for Sigmoid {
    const BEFORE: f64 = 1.0;
    const AFTER: f64 = 0.0;

    #[inline(always)]
    fn scale<T: Real, M: MultiplyAdd>(s: T) -> (T, T) {
        sigmoid::<T, M>(s + T::of(2.0))
    }

    #[inline(always)]
    fn inverse_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        // At least 1. It is infinite where the plain operations are, too.
        T::one() + exp::<T, M>(-(s + T::of(2.0)))
    }

    #[inline(always)]
    fn log_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        let v = s + T::of(2.0);
        let below = if v < T::zero() { v } else { T::zero() };
        // The second term is NaN if `v` is NaN.
        below - log1p_of_unit::<T, M>(exp::<T, M>(-v.abs()))
    }
}

pub struct Bounded;

impl AffineScale for Bounded {
    const BEFORE: f64 = 1.0;
    const AFTER: f64 = 0.0;

    #[inline(always)]
    fn scale<T: Real, M: MultiplyAdd>(s: T) -> (T, T) {
        let (open, closed) = sigmoid::<T, M>(s + T::of(2.0));
        let twice = T::one() + open;
        (T::of(0.5) * twice, open * closed / twice)
    }

    #[inline(always)]
    fn inverse_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        T::of(2.0) / (T::one() + sigmoid::<T, M>(s + T::of(2.0)).0)
    }

    #[inline(always)]
    fn log_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        // The logarithm of a number in [½, 1].
        ln::<T, M>(Self::scale::<T, M>(s).0)
    }
}

pub struct Normal;

impl AffineScale for Normal {
    const BEFORE: f64 = -1.0;
    const AFTER: f64 = 0.0;

    #[inline(always)]
    fn scale<T: Real, M: MultiplyAdd>(s: T) -> (T, T) {
        (exp::<T, M>(-s), -T::one())
    }

    #[inline(always)]
    fn inverse_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        exp::<T, M>(s)
    }

    #[inline(always)]
    fn log_scale<T: Real, M: MultiplyAdd>(s: T) -> T {
        -s
    }
}
