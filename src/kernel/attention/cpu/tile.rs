//! Products of small matrices in registers.

use crate::kernel::simd::{LANES, Lanes, MultiplyAdd, Real, exp_in_range};

/// Positions that a lane loop handles together: two vectors of f32 in AVX-512, which share what is broadcast to them.
pub const WIDTH: usize = 2 * LANES;

/// Numbers of [`WIDTH`] successive positions.
pub type Panel<T> = [Lanes<T>; 2];

macro_rules! unroll {
    ($r:ident < $n:expr, $body:expr) => {
        unroll!(@ $r $n, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $r:ident $n:expr, $body:expr, $($value:literal)*) => {
        {
            $(if $value < $n {
                let $r = $value;
                $body;
            })*
        }
    };
}

pub(super) use unroll;

/// A panel of equal numbers.
#[inline(always)]
pub fn splat<T: Copy>(x: T) -> Panel<T> {
    [[x; LANES]; 2]
}

/// `a·b + c`.
#[inline(always)]
pub fn mul_add<T: Real, M: MultiplyAdd>(a: Panel<T>, b: Panel<T>, c: Panel<T>) -> Panel<T> {
    let mut y = c;
    for half in 0..2 {
        for lane in 0..LANES {
            y[half][lane] = M::mul_add(a[half][lane], b[half][lane], c[half][lane]);
        }
    }
    y
}

/// Function of each lane of two panels.
#[inline(always)]
pub fn zip<T: Copy>(a: Panel<T>, b: Panel<T>, f: impl Fn(T, T) -> T) -> Panel<T> {
    let mut y = a;
    for half in 0..2 {
        for lane in 0..LANES {
            y[half][lane] = f(a[half][lane], b[half][lane]);
        }
    }
    y
}

/// `Σ_k rows[k][r]·panels[k]` for each `r`: the sums stay in registers.
#[inline(always)]
pub fn outer_products<T: Real, M: MultiplyAdd, const R: usize>(rows: &[[T; R]], panels: &[Panel<T>]) -> [Panel<T>; R] {
    let mut sums = [splat(T::zero()); R];
    for (&row, &panel) in rows.iter().zip(panels) {
        unroll!(r < R, sums[r] = mul_add::<T, M>(panel, splat(row[r]), sums[r]));
    }
    sums
}

/// `Σ_k a[k][r]·b[k][c]` of each lane, where lanes are added up to [`LANES`] only: see [`total`].
#[inline(always)]
pub fn inner_products<'a, T: Real, M: MultiplyAdd, const R: usize, const C: usize>(
    a: impl Iterator<Item = &'a [Panel<T>; R]>,
    b: impl Iterator<Item = &'a [Panel<T>; C]>,
) -> [[Lanes<T>; C]; R] {
    let mut sums = [[[T::zero(); LANES]; C]; R];
    for (a, b) in a.zip(b) {
        unroll!(
            half < 2,
            unroll!(r < R, {
                let x = a[r][half];
                unroll!(c < C, {
                    let (y, z) = (b[c][half], sums[r][c]);
                    let mut sum = z;
                    for lane in 0..LANES {
                        sum[lane] = M::mul_add(x[lane], y[lane], z[lane]);
                    }
                    sums[r][c] = sum;
                })
            })
        );
    }
    sums
}

/// Sum of the lanes, by halves.
#[inline(always)]
pub fn total<T: Real>(x: &Lanes<T>) -> T {
    let mut x = *x;
    for lane in 0..8 {
        x[lane] += x[lane + 8];
    }
    for lane in 0..4 {
        x[lane] += x[lane + 4];
    }
    (x[0] + x[2]) + (x[1] + x[3])
}

/// `e^x` of numbers that do not exceed 0 but for rounding. Where it would be subnormal, 0; NaN gives NaN.
#[inline(always)]
pub fn exp_of_negative<T: Real, M: MultiplyAdd>(x: T) -> T {
    let y = exp_in_range::<T, M>(x);
    if x < T::EXP_RANGE.0 { T::zero() } else { y }
}
