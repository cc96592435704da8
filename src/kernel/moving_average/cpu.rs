//! The operation on slices.

use crate::kernel::cpu::simd::{InstructionSet, Kernel, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{for_each, items_per_task};

/// Of an element, by `k.moving_average` of `benches/kernel/cost.rs`.
const UPDATE: Cost = Cost::picoseconds(240);

/// Computes the updated average, `moved`.
///
/// # Panics
/// If the lengths differ.
pub fn update<T: Real>(set: InstructionSet, rate: T, average: &[T], value: &[T], moved: &mut [T]) {
    assert!(
        average.len() == value.len() && average.len() == moved.len(),
        "moving_average: lengths"
    );
    let n = items_per_task(UPDATE);
    let tasks = average.par_chunks(n).zip(value.par_chunks(n)).zip(moved.par_chunks_mut(n));
    for_each(tasks, UPDATE.times(n), |((average, value), moved)| {
        set.dispatch(Update { rate, average, value, moved });
    });
}

struct Update<'a, T> {
    rate: T,
    average: &'a [T],
    value: &'a [T],
    moved: &'a mut [T],
}

impl<T: Real> Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        for ((moved, &average), &value) in self.moved.iter_mut().zip(self.average).zip(self.value) {
            *moved = M::mul_add(self.rate, value - average, average);
        }
    }
}
