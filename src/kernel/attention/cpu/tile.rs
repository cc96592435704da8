//! Products of small matrices in registers.

use crate::kernel::cpu::simd::{LANES, Lanes, MultiplyAdd, Real, exp_in_range};

/// Positions that are processed together: two vectors of f32 in AVX-512, which share the elements
/// that are broadcast to them.
pub const WIDTH: usize = 2 * LANES;

/// Elements of [`WIDTH`] successive positions, aligned so that no vector crosses a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Panel<T>(pub [Lanes<T>; 2]);

/// Panels of sums that are held at once: 8 of the 32 registers of AVX-512 in f32, all 16 of AVX2.
/// Twice as many gain at most a tenth with AVX-512. With AVX2 they do not fit into the registers,
/// which makes it half as fast.
pub const TILE: usize = 4;

/// Elements that are broadcast, of successive positions or channels.
pub type Row<T> = [T; TILE];

/// Repeats an expression with constants for the index. A loop over sums that contains a loop over
/// lanes would be vectorised along the sums, which would scatter them over memory.
macro_rules! unroll {
    ($index:ident in [$($value:literal),*] => $body:expr) => {{
        $({
            let $index = $value;
            $body;
        })*
    }};
}
pub(super) use unroll;

/// A panel of equal elements.
#[inline(always)]
pub fn splat<T: Copy>(x: T) -> Panel<T> {
    Panel([[x; LANES]; 2])
}

/// A function of the elements of two panels.
#[inline(always)]
pub fn zip<T: Copy>(a: Panel<T>, b: Panel<T>, f: impl Fn(T, T) -> T) -> Panel<T> {
    let mut y = a;
    for half in 0..2 {
        for lane in 0..LANES {
            y.0[half][lane] = f(a.0[half][lane], b.0[half][lane]);
        }
    }
    y
}

/// `a·b + c`.
#[inline(always)]
pub fn mul_add<T: Real, M: MultiplyAdd>(a: Panel<T>, b: Panel<T>, c: Panel<T>) -> Panel<T> {
    let mut y = c;
    for half in 0..2 {
        y.0[half] = mul_add_lanes::<T, M>(a.0[half], b.0[half], c.0[half]);
    }
    y
}

#[inline(always)]
fn mul_add_lanes<T: Real, M: MultiplyAdd>(a: Lanes<T>, b: Lanes<T>, c: Lanes<T>) -> Lanes<T> {
    let mut y = c;
    for lane in 0..LANES {
        y[lane] = M::mul_add(a[lane], b[lane], c[lane]);
    }
    y
}

/// `Σ_k rows[k][r]·panels[k]` for each `r`.
#[inline(always)]
pub fn outer_products<T: Real, M: MultiplyAdd>(
    rows: &[Row<T>],
    panels: &[Panel<T>],
) -> [Panel<T>; TILE] {
    let mut sums = [splat(T::zero()); TILE];
    for (&row, &panel) in rows.iter().zip(panels) {
        unroll!(r in [0, 1, 2, 3] => sums[r] = mul_add::<T, M>(panel, splat(row[r]), sums[r]));
    }
    sums
}

/// `Σ_k a[k][r]·b[k][c]` for each `r` and `c`, before the sum over the lanes.
///
/// The caller takes that sum from memory, by [`total`]: next to this loop, it would determine the
/// order of lanes in the registers, and a shuffle would follow every load.
#[inline(always)]
pub fn inner_products<'a, T: Real, M: MultiplyAdd>(
    a: impl Iterator<Item = &'a [Panel<T>; TILE]>,
    b: impl Iterator<Item = &'a [Panel<T>; TILE]>,
) -> [[Lanes<T>; TILE]; TILE] {
    let mut sums = [[[T::zero(); LANES]; TILE]; TILE];
    for (a, b) in a.zip(b) {
        unroll!(half in [0, 1] => unroll!(r in [0, 1, 2, 3] => {
            let x = a[r].0[half];
            unroll!(c in [0, 1, 2, 3] =>
                sums[r][c] = mul_add_lanes::<T, M>(x, b[c].0[half], sums[r][c]));
        }));
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

/// `e^x` of elements that exceed 0 at most by rounding errors. 0 where the result would be
/// subnormal; NaN gives NaN.
#[inline(always)]
pub fn exp_of_negative<T: Real, M: MultiplyAdd>(x: T) -> T {
    let y = exp_in_range::<T, M>(x);
    if x < T::EXP_RANGE.0 { T::zero() } else { y }
}

const _: () = assert!(LANES == 16 && TILE == 4, "what is unrolled");
