//! The operation on slices.
//!
//! # Numerics
//! Each element is computed by itself, so results do not depend on the number of threads.

use super::rates::Rates;
use crate::kernel::cpu::remainder::{load, store};
use crate::kernel::cpu::simd::{InstructionSet, Kernel, LANES, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{for_each, items_per_task};

/// Of an element, by `k.adam` of `benches/kernel/cost.rs`.
const UPDATE: Cost = Cost::picoseconds(550);

/// The tensors that an update writes.
#[derive(Debug)]
pub struct Moved<'a, T> {
    /// `θ` after the update; its previous content is not read.
    pub parameter: &'a mut [T],
    /// `m`, updated in place.
    pub mean: &'a mut [T],
    /// `v`, updated in place.
    pub square: &'a mut [T],
}

/// Updates `θ`, `m` and `v`.
///
/// # Panics
/// If the lengths differ.
pub fn update<T: Real>(
    set: InstructionSet,
    rates: Rates,
    parameter: &[T],
    gradient: &[T],
    to: Moved<'_, T>,
) {
    let lengths = [gradient.len(), to.parameter.len(), to.mean.len(), to.square.len()];
    assert!(
        lengths.iter().all(|&length| length == parameter.len()),
        "adam: expected {} elements in each slice, found {lengths:?}",
        parameter.len()
    );
    let rates = Factors::of(rates);
    let n = items_per_task(UPDATE);
    let read = parameter.par_chunks(n).zip(gradient.par_chunks(n));
    let written = to
        .parameter
        .par_chunks_mut(n)
        .zip(to.mean.par_chunks_mut(n))
        .zip(to.square.par_chunks_mut(n));
    let tasks = read.zip(written);
    for_each(tasks, UPDATE.times(n), |((parameter, gradient), ((moved, mean), square))| {
        set.dispatch(Update {
            rates,
            parameter,
            gradient,
            to: Moved { parameter: moved, mean, square },
        });
    });
}

#[derive(Debug, Clone, Copy)]
struct Factors<T> {
    decays: [T; 2],
    /// `1 − β₁` and `1 − β₂`, the weights of the new gradient and its square.
    shares: [T; 2],
    rate: T,
    epsilon: T,
}

impl<T: Real> Factors<T> {
    fn of(rates: Rates) -> Self {
        let decays = [rates.beta_1, rates.beta_2];
        Self {
            decays: decays.map(T::of),
            shares: decays.map(|decay| T::of(1.0 - decay)),
            rate: T::of(rates.rate),
            epsilon: T::of(rates.epsilon),
        }
    }

    /// Updated `θ`, `m` and `v` of one element.
    #[inline(always)]
    fn moved<M: MultiplyAdd>(&self, parameter: T, gradient: T, mean: T, square: T) -> (T, T, T) {
        let mean = M::mul_add(mean, self.decays[0], gradient * self.shares[0]);
        let square = M::mul_add(square, self.decays[1], gradient * gradient * self.shares[1]);
        // The square is never negative, as a sum of products that are not.
        (parameter - self.rate * mean / (square.sqrt() + self.epsilon), mean, square)
    }
}

struct Update<'a, T> {
    rates: Factors<T>,
    parameter: &'a [T],
    gradient: &'a [T],
    to: Moved<'a, T>,
}

impl<T: Real> Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let rates = self.rates;
        let (parameter, parameter_rest) = self.parameter.as_chunks::<LANES>();
        let (gradient, gradient_rest) = self.gradient.as_chunks::<LANES>();
        let (moved, moved_rest) = self.to.parameter.as_chunks_mut::<LANES>();
        let (mean, mean_rest) = self.to.mean.as_chunks_mut::<LANES>();
        let (square, square_rest) = self.to.square.as_chunks_mut::<LANES>();
        for ((((parameter, gradient), moved), mean), square) in
            parameter.iter().zip(gradient).zip(moved).zip(mean).zip(square)
        {
            for lane in 0..LANES {
                (moved[lane], mean[lane], square[lane]) =
                    rates.moved::<M>(parameter[lane], gradient[lane], mean[lane], square[lane]);
            }
        }
        let (mut parameter, gradient) = (load(parameter_rest), load(gradient_rest));
        let (mut mean, mut square) = (load(mean_rest), load(square_rest));
        for lane in 0..LANES {
            (parameter[lane], mean[lane], square[lane]) =
                rates.moved::<M>(parameter[lane], gradient[lane], mean[lane], square[lane]);
        }
        store(&parameter, moved_rest);
        store(&mean, mean_rest);
        store(&square, square_rest);
    }
}
