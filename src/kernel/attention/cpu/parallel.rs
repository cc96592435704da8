//! Whole batches, in tasks.

use crate::kernel::cpu::simd::{InstructionSet, Real};
use crate::kernel::cpu::tasks::{Cost, IntoParallelIterator, for_each_with, number_of_tasks};

use super::backward::{self, Backward};
use super::forward::{self, Forward};
use super::head::Dims;
use super::tile::WIDTH;

/// Of a pair of positions: what a channel adds, and the rest. By `k.attention` of
/// `benches/kernel/cost.rs` with 8 and with 24 channels.
const FORWARD: [Cost; 2] = [Cost::picoseconds(40), Cost::picoseconds(220)];
const BACKWARD: [Cost; 2] = [Cost::picoseconds(110), Cost::picoseconds(230)];

/// The output, of shape `shape`, and `ln Σ_j e^{s_ij}`, `[examples, heads, positions]`, of
/// `projected`. Both are written in full.
///
/// # Panics
/// If the number of heads does not divide the filters, or a slice does not have the length of its
/// shape.
pub fn forward<T: Real>(
    projected: &[T],
    shape: [usize; 3],
    heads: usize,
    output: &mut [T],
    log_sums: &mut [T],
) {
    forward_with(InstructionSet::detect(), Dims::new(shape, heads), projected, output, log_sums);
}

/// Gradient of `projected` from the gradient of the output. `output` and `log_sums` are those of
/// [`forward()`]. The result is written in full.
///
/// # Panics
/// If the number of heads does not divide the filters, or a slice does not have the length of its
/// shape.
pub fn backward<T: Real>(
    projected: &[T],
    shape: [usize; 3],
    heads: usize,
    output: &[T],
    log_sums: &[T],
    gradient: &[T],
    projected_gradient: &mut [T],
) {
    let (set, dims) = (InstructionSet::detect(), Dims::new(shape, heads));
    backward_with(set, dims, projected, output, log_sums, gradient, projected_gradient);
}

/// [`forward()`] in a given instruction set.
pub fn forward_with<T: Real>(
    set: InstructionSet,
    dims: Dims,
    projected: &[T],
    output: &mut [T],
    log_sums: &mut [T],
) {
    let n = dims.positions;
    check(&dims, projected, output, log_sums);
    if output.is_empty() {
        return;
    }
    let query = of_pair(FORWARD, &dims).times(n);
    let n_tasks = number_of_tasks(query.times(n * dims.n_heads()));
    let n_queries = n.div_ceil(n_tasks.div_ceil(dims.n_heads())).next_multiple_of(WIDTH);
    let mut tasks = Vec::new();
    let heads = output.chunks_mut(dims.head_size()).zip(log_sums.chunks_mut(n));
    for (index, (output, log_sums)) in heads.enumerate() {
        let head = dims.head(projected, index);
        let mut rows: Vec<_> = output.chunks_mut(n).map(|row| row.chunks_mut(n_queries)).collect();
        for (piece, log_sums) in log_sums.chunks_mut(n_queries).enumerate() {
            let queries = piece * n_queries..piece * n_queries + log_sums.len();
            let output = rows.iter_mut().filter_map(Iterator::next).collect();
            tasks.push((head, queries, output, log_sums));
        }
    }
    for_each_with(
        tasks.into_par_iter(),
        query.times(n.min(n_queries)),
        forward::Buffers::default,
        |buffers, (head, queries, output, log_sums)| {
            set.dispatch(Forward { head, queries, output, log_sums, buffers });
        },
    );
}

/// [`backward()`] in a given instruction set.
pub fn backward_with<T: Real>(
    set: InstructionSet,
    dims: Dims,
    projected: &[T],
    output: &[T],
    log_sums: &[T],
    gradient: &[T],
    projected_gradient: &mut [T],
) {
    let (n, size) = (dims.positions, dims.head_size());
    check(&dims, projected, output, log_sums);
    assert_eq!(gradient.len(), output.len(), "length of the output's gradient");
    assert_eq!(projected_gradient.len(), projected.len(), "length of the gradient");
    if output.is_empty() {
        return;
    }
    let mut tasks = Vec::with_capacity(dims.n_heads());
    for example in projected_gradient.chunks_mut(3 * dims.heads * size) {
        let (queries, rest) = example.split_at_mut(dims.heads * size);
        let (keys, values) = rest.split_at_mut(dims.heads * size);
        let heads =
            queries.chunks_mut(size).zip(keys.chunks_mut(size)).zip(values.chunks_mut(size));
        for ((queries, keys), values) in heads {
            tasks.push((tasks.len(), [queries, keys, values]));
        }
    }
    let head = of_pair(BACKWARD, &dims).times(n * n);
    let start = backward::Buffers::default;
    for_each_with(tasks.into_par_iter(), head, start, |buffers, (index, gradients)| {
        let (head, range) = (dims.head(projected, index), dims.range(index));
        let log_sums = &log_sums[index * n..(index + 1) * n];
        let (output, gradient) = (&output[range.clone()], &gradient[range]);
        set.dispatch(Backward { head, output, log_sums, gradient, gradients, buffers });
    });
}

fn check<T>(dims: &Dims, projected: &[T], output: &[T], log_sums: &[T]) {
    assert_eq!(projected.len(), 3 * dims.n_outputs(), "length of the projections");
    assert_eq!(output.len(), dims.n_outputs(), "length of the output");
    assert_eq!(log_sums.len(), dims.n_heads() * dims.positions, "length of the sums");
}

/// The cost of a pair of positions.
fn of_pair([channel, rest]: [Cost; 2], dims: &Dims) -> Cost {
    channel.times(dims.channels).plus(rest)
}
