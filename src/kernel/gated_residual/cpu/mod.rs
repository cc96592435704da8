//! Gated residual sum.
//! ```text
//! y = x + a·σ(b)                                          h = [a, b]
//! ga = g·σ(b)      gb = g·a·σ(b)·(1 − σ(b))               the gradient of x is g itself
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `y` | input and result | `[B, F, P]`, any positions |
//! | `h` | `a`, then `b` | `[B, 2F, P]` |
//! | `g`, `ga`, `gb` | gradients of `y`, `a` and `b` | as these |
//!
//! # Cost
//! One exponential and one division per element, as long as it takes to read and write it.
//!
//! # Numerics
//! `1 − σ(b)` keeps its relative accuracy for large `b`.

use crate::kernel::cpu::remainder::{load, store};
use crate::kernel::cpu::simd::sigmoid;
use crate::kernel::cpu::simd::{InstructionSet, Kernel, LANES, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::for_each;
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};

/// Of an element of `x`, by `k.gated_residual` of `benches/kernel/cost.rs`.
pub const FORWARD: Cost = Cost::picoseconds(500);
pub const BACKWARD: Cost = Cost::picoseconds(570);

/// `y` from `x` and `h`; an example of `x` has `length` elements.
///
/// # Panics
/// If the lengths do not match.
pub fn forward<T: Real>(set: InstructionSet, length: usize, x: &[T], h: &[T], y: &mut [T]) {
    check(length, x.len(), h.len(), y.len());
    if x.is_empty() {
        return;
    }
    let examples = x.par_chunks(length).zip(h.par_chunks(2 * length)).zip(y.par_chunks_mut(length));
    for_each(examples, FORWARD.times(length), |((x, h), y)| {
        let (a, b) = h.split_at(length);
        set.dispatch(Forward { x, a, b, y });
    });
}

/// `gh = [ga, gb]` from `g` and `h`; an example of `g` has `length` elements.
///
/// # Panics
/// If the lengths do not match.
pub fn backward<T: Real>(set: InstructionSet, length: usize, h: &[T], g: &[T], gh: &mut [T]) {
    check(length, g.len(), h.len(), gh.len() / 2);
    assert_eq!(gh.len(), h.len(), "gated_residual: length of gh");
    if g.is_empty() {
        return;
    }
    let examples =
        g.par_chunks(length).zip(h.par_chunks(2 * length)).zip(gh.par_chunks_mut(2 * length));
    for_each(examples, BACKWARD.times(length), |((g, h), gh)| {
        let ((a, b), (ga, gb)) = (h.split_at(length), gh.split_at_mut(length));
        set.dispatch(Backward { a, b, g, ga, gb });
    });
}

fn check(length: usize, x: usize, h: usize, y: usize) {
    let fits = h == 2 * x && y == x && (x == 0 || x.is_multiple_of(length));
    assert!(fits, "gated_residual: x has {x} elements, h {h}, the result {y}, an example {length}");
}

struct Forward<'a, T> {
    x: &'a [T],
    a: &'a [T],
    b: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        let (y, y_rest) = self.y.as_chunks_mut::<LANES>();
        for (((x, a), b), y) in x.iter().zip(a).zip(b).zip(y) {
            for lane in 0..LANES {
                y[lane] = M::mul_add(a[lane], sigmoid::<T, M>(b[lane]).0, x[lane]);
            }
        }
        if y_rest.is_empty() {
            return;
        }
        let (mut x, a, b) = (load(x_rest), load(a_rest), load(b_rest));
        for lane in 0..LANES {
            x[lane] = M::mul_add(a[lane], sigmoid::<T, M>(b[lane]).0, x[lane]);
        }
        store(&x, y_rest);
    }
}

struct Backward<'a, T> {
    a: &'a [T],
    b: &'a [T],
    g: &'a [T],
    ga: &'a mut [T],
    gb: &'a mut [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        let (g, g_rest) = self.g.as_chunks::<LANES>();
        let (ga, ga_rest) = self.ga.as_chunks_mut::<LANES>();
        let (gb, gb_rest) = self.gb.as_chunks_mut::<LANES>();
        for ((((a, b), g), ga), gb) in a.iter().zip(b).zip(g).zip(ga).zip(gb) {
            for lane in 0..LANES {
                (ga[lane], gb[lane]) = gate_gradients::<T, M>(a[lane], b[lane], g[lane]);
            }
        }
        if g_rest.is_empty() {
            return;
        }
        let (mut a, mut b, g) = (load(a_rest), load(b_rest), load(g_rest));
        for lane in 0..LANES {
            (a[lane], b[lane]) = gate_gradients::<T, M>(a[lane], b[lane], g[lane]);
        }
        store(&a, ga_rest);
        store(&b, gb_rest);
    }
}

/// `(ga, gb)` of one element.
#[inline(always)]
fn gate_gradients<T: Real, M: MultiplyAdd>(a: T, b: T, g: T) -> (T, T) {
    let (open, closed) = sigmoid::<T, M>(b);
    let ga = g * open;
    (ga, ga * a * closed)
}
