//! Whole batches, on all threads of rayon's pool.

use rayon::prelude::*;

use crate::kernel::simd::{InstructionSet, Real};

use super::Head;
use super::backward::Backward;
use super::forward::Forward;
use super::tile::WIDTH;

/// Pairs of positions in a task at least: some 15 µs of work in f32, well above what handing it over costs.
const SMALLEST_TASK: usize = 1 << 14;

/// Tasks per thread, for threads of unequal speed.
const TASKS_PER_THREAD: usize = 4;

/// f.
pub fn forward<T: Real>(projected: &[T], shape: [usize; 3], heads: usize, output: &mut [T], log_sums: &mut [T]) {
    forward_with(InstructionSet::detect(), projected, shape, heads, output, log_sums);
}

/// f.
pub fn forward_with<T: Real>(
    set: InstructionSet,
    projected: &[T],
    shape: [usize; 3],
    heads: usize,
    output: &mut [T],
    log_sums: &mut [T],
) {
    let [examples, filters, positions] = shape;
    let channels = check(shape, heads, projected, output);
    assert_eq!(log_sums.len(), examples * heads * positions);
    if output.is_empty() {
        return;
    }
    let n_heads = examples * heads;
    let n_pieces = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(n_heads);
    let n_pieces = if rayon::current_num_threads() == 1 { 1 } else { n_pieces };
    let n_queries = positions.div_ceil(n_pieces).max(SMALLEST_TASK / positions).next_multiple_of(WIDTH);
    let mut tasks = Vec::with_capacity(n_heads * n_pieces);
    let outputs = output.chunks_mut(channels * positions).zip(log_sums.chunks_mut(positions));
    for (index, (output, log_sums)) in outputs.enumerate() {
        let head = Head::new(projected, [examples, filters, positions], heads, index);
        let mut rows: Vec<_> = output.chunks_mut(positions).map(|row| row.chunks_mut(n_queries)).collect();
        for (piece, log_sums) in log_sums.chunks_mut(n_queries).enumerate() {
            let queries = piece * n_queries..piece * n_queries + log_sums.len();
            let output: Vec<_> = rows.iter_mut().filter_map(Iterator::next).collect();
            tasks.push((head, queries, output, log_sums));
        }
    }
    each(tasks, positions * positions.min(n_queries), |(head, queries, output, log_sums)| {
        if size_of::<T>() == 4 && channels.is_multiple_of(8) {
            set.dispatch(Forward::<T, 8> { head, queries, output, log_sums });
        } else {
            set.dispatch(Forward::<T, 4> { head, queries, output, log_sums });
        }
    });
}

/// b.
pub fn backward<T: Real>(
    projected: &[T],
    shape: [usize; 3],
    heads: usize,
    output: &[T],
    log_sums: &[T],
    gradient: &[T],
    projected_gradient: &mut [T],
) {
    backward_with(InstructionSet::detect(), projected, shape, heads, output, log_sums, gradient, projected_gradient);
}

/// b.
#[allow(clippy::too_many_arguments)]
pub fn backward_with<T: Real>(
    set: InstructionSet,
    projected: &[T],
    shape: [usize; 3],
    heads: usize,
    output: &[T],
    log_sums: &[T],
    gradient: &[T],
    projected_gradient: &mut [T],
) {
    let [_, filters, positions] = shape;
    let channels = check(shape, heads, projected, output);
    let size = channels * positions;
    if output.is_empty() {
        return;
    }
    let mut tasks = Vec::new();
    let mut index = 0;
    for example in projected_gradient.chunks_mut(3 * filters * positions) {
        let (queries, rest) = example.split_at_mut(filters * positions);
        let (keys, values) = rest.split_at_mut(filters * positions);
        let parts = queries.chunks_mut(size).zip(keys.chunks_mut(size)).zip(values.chunks_mut(size));
        for ((queries, keys), values) in parts {
            tasks.push((index, [queries, keys, values]));
            index += 1;
        }
    }
    each(tasks, positions * positions, |(index, gradients)| {
        let head = Head::new(projected, shape, heads, index);
        let log_sums = &log_sums[index * positions..][..positions];
        let numbers = index * size..(index + 1) * size;
        let (output, gradient) = (&output[numbers.clone()], &gradient[numbers]);
        if size_of::<T>() == 4 && channels.is_multiple_of(8) {
            set.dispatch(Backward::<T, 8> { head, output, log_sums, gradient, gradients });
        } else {
            set.dispatch(Backward::<T, 4> { head, output, log_sums, gradient, gradients });
        }
    });
}

/// Channels of a head.
fn check<T>([examples, filters, positions]: [usize; 3], heads: usize, projected: &[T], output: &[T]) -> usize {
    assert!(filters.is_multiple_of(heads), "heads divide the filters");
    assert_eq!(projected.len(), 3 * examples * filters * positions);
    assert_eq!(output.len(), examples * filters * positions);
    filters / heads
}

/// Runs tasks of some pairs each in parallel, or little work in place.
fn each<I: Send>(tasks: Vec<I>, n_pairs: usize, run: impl Fn(I) + Send + Sync) {
    let n_together = SMALLEST_TASK.div_ceil(n_pairs);
    if tasks.len() <= n_together || rayon::current_num_threads() == 1 {
        tasks.into_iter().for_each(run);
    } else {
        tasks.into_par_iter().with_min_len(n_together).for_each(run);
    }
}
