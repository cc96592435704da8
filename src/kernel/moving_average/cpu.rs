//! The operation on slices.

use rayon::prelude::*;

use crate::kernel::cpu::simd::{InstructionSet, Kernel, MultiplyAdd, Real};

/// Elements of a task: some 50 µs of memory traffic. Smaller tasks gain nothing.
const TASK: usize = 1 << 16;

/// Computes the updated average, `moved`.
///
/// # Panics
/// If the lengths differ.
pub fn update<T: Real>(set: InstructionSet, rate: T, average: &[T], value: &[T], moved: &mut [T]) {
    assert!(
        average.len() == value.len() && average.len() == moved.len(),
        "moving_average: lengths"
    );
    let read = average.par_chunks(TASK).zip(value.par_chunks(TASK));
    read.zip(moved.par_chunks_mut(TASK)).for_each(|((average, value), moved)| {
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
