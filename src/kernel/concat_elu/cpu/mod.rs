//! The activation of Flow++'s networks.
//! ```text
//! y = elu([x, −x])                                        elu(v) = v for v > 0, e^v − 1 below
//! gx = gy₊·elu′(x) − gy₋·elu′(−x)                         elu′(v) = 1 for v ≥ 0, e^v below
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x` | input | `[B, C, P]`, any positions |
//! | `y` | result: `y₊` of `x`, then `y₋` of `−x` | `[B, 2C, P]` |
//! | `gx`, `gy` | gradients of `x` and `y` | as these |
//!
//! # Cost
//! One exponential suffices for both halves, since one of `x` and `−x` is not negative.
//!
//! # Numerics
//! `e^v − 1` keeps its relative accuracy for small `v`. NaN gives NaN.

use crate::kernel::cpu::remainder::{load, store};
use crate::kernel::cpu::simd::{InstructionSet, Kernel, LANES, MultiplyAdd, Real};
use crate::kernel::cpu::simd::{elu_pair, elu_pair_slopes};
use crate::kernel::cpu::tasks::for_each;
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};

/// Of an element of `x`, by `k.concat_elu` of `benches/kernel/cost.rs`.
pub const FORWARD: Cost = Cost::picoseconds(430);
pub const BACKWARD: Cost = Cost::picoseconds(460);

/// `y` from `x`; an example of `x` has `length` elements.
///
/// # Panics
/// If the lengths do not match.
pub fn forward<T: Real>(set: InstructionSet, length: usize, x: &[T], y: &mut [T]) {
    assert!(
        y.len() == 2 * x.len() && x.len().is_multiple_of(length),
        "concat_elu: lengths of x and y"
    );
    if x.is_empty() {
        return;
    }
    let examples = x.par_chunks(length).zip(y.par_chunks_mut(2 * length));
    for_each(examples, FORWARD.times(length), |(x, y)| {
        let (positive, negative) = y.split_at_mut(length);
        set.dispatch(EluPairs { x, positive, negative });
    });
}

/// `gx` from `gy`; an example of `x` has `length` elements.
///
/// # Panics
/// If the lengths do not match.
pub fn backward<T: Real>(set: InstructionSet, length: usize, x: &[T], gy: &[T], gx: &mut [T]) {
    let fits = gy.len() == 2 * x.len() && gx.len() == x.len();
    assert!(fits && x.len().is_multiple_of(length), "concat_elu: lengths of x, gy and gx");
    if x.is_empty() {
        return;
    }
    let examples =
        x.par_chunks(length).zip(gy.par_chunks(2 * length)).zip(gx.par_chunks_mut(length));
    for_each(examples, BACKWARD.times(length), |((x, gy), gx)| {
        let (positive, negative) = gy.split_at(length);
        set.dispatch(ApplySlopes { x, positive, negative, gx });
    });
}

/// `elu(x)` and `elu(−x)`, slices of equal length.
pub struct EluPairs<'a, T> {
    pub x: &'a [T],
    pub positive: &'a mut [T],
    pub negative: &'a mut [T],
}

impl<T: Real> Kernel for EluPairs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let (chunks, rest) = self.x.as_chunks::<LANES>();
        let (positive, positive_rest) = self.positive.as_chunks_mut::<LANES>();
        let (negative, negative_rest) = self.negative.as_chunks_mut::<LANES>();
        for ((x, positive), negative) in chunks.iter().zip(positive).zip(negative) {
            for lane in 0..LANES {
                (positive[lane], negative[lane]) = elu_pair::<T, M>(x[lane]);
            }
        }
        if rest.is_empty() {
            return;
        }
        let (x, mut positive, mut negative) = (load(rest), [T::zero(); LANES], [T::zero(); LANES]);
        for lane in 0..LANES {
            (positive[lane], negative[lane]) = elu_pair::<T, M>(x[lane]);
        }
        store(&positive, positive_rest);
        store(&negative, negative_rest);
    }
}

/// The gradient of `x` from those of `elu(x)` and `elu(−x)`, slices of equal length.
pub struct ApplySlopes<'a, T> {
    pub x: &'a [T],
    pub positive: &'a [T],
    pub negative: &'a [T],
    pub gx: &'a mut [T],
}

impl<T: Real> Kernel for ApplySlopes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let (chunks, rest) = self.x.as_chunks::<LANES>();
        let (positive, positive_rest) = self.positive.as_chunks::<LANES>();
        let (negative, negative_rest) = self.negative.as_chunks::<LANES>();
        let (gx, gx_rest) = self.gx.as_chunks_mut::<LANES>();
        for (((x, positive), negative), gx) in chunks.iter().zip(positive).zip(negative).zip(gx) {
            for lane in 0..LANES {
                gx[lane] = input_gradient::<T, M>(x[lane], positive[lane], negative[lane]);
            }
        }
        if rest.is_empty() {
            return;
        }
        let (x, positive, negative) = (load(rest), load(positive_rest), load(negative_rest));
        let mut gx = [T::zero(); LANES];
        for lane in 0..LANES {
            gx[lane] = input_gradient::<T, M>(x[lane], positive[lane], negative[lane]);
        }
        store(&gx, gx_rest);
    }
}

#[inline(always)]
fn input_gradient<T: Real, M: MultiplyAdd>(x: T, positive: T, negative: T) -> T {
    let (of_positive, of_negative) = elu_pair_slopes::<T, M>(x);
    M::mul_add(positive, of_positive, -(negative * of_negative))
}
