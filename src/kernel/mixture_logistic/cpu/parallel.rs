//! Whole batches, in tasks.

use crate::kernel::cpu::simd::{InstructionSet, LANES};
use crate::kernel::cpu::tasks::{Cost, IntoParallelIterator, for_each, number_of_tasks};

use super::MixtureLogistic;
use super::backward::{Backward, ThetaGradient};
use super::forward::Forward;
use super::inverse::Inverse;
use super::linear_space::ExponentLimit;
use super::tile::{Batch, Block, n_rows};

/// Of a component of an element, by `a.mixlog` of `benches/kernel/mixture.rs`.
const FORWARD: Cost = Cost::picoseconds(1_200);
const BACKWARD: Cost = Cost::picoseconds(2_300);
const INVERSE: Cost = Cost::picoseconds(4_000);

impl<T: ExponentLimit> MixtureLogistic<T> {
    /// `z` and `ln dz/dx`, each `[examples, dims]`. Outputs are written in full.
    pub fn forward(&self, batch: &Batch<'_, T>, z: &mut [T], log_derivative: &mut [T]) {
        check(batch, 1, [z.len(), log_derivative.len()]);
        let (set, blocks) = (InstructionSet::detect(), self.blocks(batch, FORWARD));
        let tasks: Vec<_> =
            split(&blocks, 1, z).zip(split(&blocks, 1, log_derivative)).zip(&blocks).collect();
        self.each(&blocks, FORWARD, tasks, |((z, log_derivative), block)| {
            set.dispatch(Forward {
                law: *self,
                batch: *batch,
                block: block.clone(),
                z,
                log_derivative,
            });
        });
    }

    /// Gradients of `x`, `[examples, dims]`, and of the parameters, `[examples, rows, dims]`, from
    /// the gradients of `z` and `ln dz/dx`. Outputs are written in full.
    pub fn backward(
        &self,
        batch: &Batch<'_, T>,
        z_gradient: &[T],
        log_derivative_gradient: &[T],
        x_gradient: &mut [T],
        theta_gradient: &mut [T],
    ) {
        let (set, blocks) = (InstructionSet::detect(), self.blocks(batch, BACKWARD));
        let rows = n_rows(self.n_components);
        check(batch, 1, [z_gradient.len(), log_derivative_gradient.len(), x_gradient.len()]);
        check(batch, rows, [theta_gradient.len()]);
        let given = |block: &Block| {
            let start = block.examples.start * batch.n_dims + block.dims.start;
            let range = start..start + block.n_elements();
            (&z_gradient[range.clone()], &log_derivative_gradient[range])
        };
        if blocks.iter().all(|block| block.dims.len() == batch.n_dims) {
            let outputs = split(&blocks, 1, x_gradient).zip(split(&blocks, rows, theta_gradient));
            let tasks: Vec<_> = outputs.zip(&blocks).collect();
            self.each(&blocks, BACKWARD, tasks, |((x_gradient, theta_gradient), block)| {
                let (z_gradient, log_derivative_gradient) = given(block);
                let theta_gradient = ThetaGradient::Whole(theta_gradient);
                set.dispatch(Backward {
                    law: *self,
                    batch: *batch,
                    block: block.clone(),
                    z_gradient,
                    log_derivative_gradient,
                    x_gradient,
                    theta_gradient,
                });
            });
        } else {
            let per_example = blocks.iter().filter(|block| block.examples.start == 0).count();
            let width = blocks[0].dims.len();
            let mut pieces: Vec<Vec<&mut [T]>> =
                blocks.iter().map(|_| Vec::with_capacity(rows)).collect();
            for (example, gradient) in theta_gradient.chunks_mut(rows * batch.n_dims).enumerate() {
                for row in gradient.chunks_mut(batch.n_dims) {
                    for (index, piece) in row.chunks_mut(width).enumerate() {
                        pieces[example * per_example + index].push(piece);
                    }
                }
            }
            let tasks: Vec<_> = split(&blocks, 1, x_gradient).zip(pieces).zip(&blocks).collect();
            self.each(&blocks, BACKWARD, tasks, |((x_gradient, mut pieces), block)| {
                let (z_gradient, log_derivative_gradient) = given(block);
                let theta_gradient = ThetaGradient::Rows(&mut pieces);
                set.dispatch(Backward {
                    law: *self,
                    batch: *batch,
                    block: block.clone(),
                    z_gradient,
                    log_derivative_gradient,
                    x_gradient,
                    theta_gradient,
                });
            });
        }
    }

    /// The `x` whose `z(x)` are the elements of the batch, `[examples, dims]`, or the best points
    /// found; the residuals `t(x) − t`; and whether `x` is a solution.
    pub fn solve(
        &self,
        batch: &Batch<'_, T>,
        x: &mut [T],
        residual: &mut [T],
        solved: &mut [bool],
    ) {
        check(batch, 1, [x.len(), residual.len(), solved.len()]);
        let (set, blocks) = (InstructionSet::detect(), self.blocks(batch, INVERSE));
        let outputs =
            split(&blocks, 1, x).zip(split(&blocks, 1, residual)).zip(split(&blocks, 1, solved));
        let tasks: Vec<_> = outputs.zip(&blocks).collect();
        self.each(&blocks, INVERSE, tasks, |(((x, residual), solved), block)| {
            set.dispatch(Inverse {
                law: *self,
                batch: *batch,
                block: block.clone(),
                x,
                residual,
                solved,
            });
        });
    }

    /// Runs the tasks of blocks, whose first is the largest.
    fn each<I: Send>(
        &self,
        blocks: &[Block],
        component: Cost,
        tasks: Vec<I>,
        run: impl Fn(I) + Send + Sync,
    ) {
        let largest = blocks.first().map_or(0, Block::n_elements);
        for_each(tasks.into_par_iter(), component.times(largest * self.n_components), run);
    }

    /// Tasks of about equal size: some examples each or, if there are few examples, some elements
    /// of one. Their outputs are contiguous.
    fn blocks(&self, batch: &Batch<'_, T>, component: Cost) -> Vec<Block> {
        let Batch { n_examples, n_dims, .. } = *batch;
        let n_tasks = number_of_tasks(component.times(n_examples * n_dims * self.n_components));
        let pieces = |n: usize, size: usize| {
            (0..n).step_by(size.max(1)).map(move |start| start..n.min(start + size))
        };
        if n_tasks <= n_examples {
            let examples = pieces(n_examples, n_examples.div_ceil(n_tasks));
            return examples.map(|examples| Block { examples, dims: 0..n_dims }).collect();
        }
        let n_dims_each =
            n_dims.div_ceil(n_tasks.div_ceil(n_examples.max(1))).next_multiple_of(LANES);
        let of_example = |example| pieces(n_dims, n_dims_each).map(move |dims| (example, dims));
        let all = (0..n_examples).flat_map(of_example);
        all.map(|(example, dims)| Block { examples: example..example + 1, dims }).collect()
    }
}

/// Asserts that each slice has `rows` elements for each element of the batch.
fn check<T, const N: usize>(batch: &Batch<'_, T>, rows: usize, lengths: [usize; N]) {
    let expected = batch.n_examples * batch.n_dims * rows;
    assert_eq!(
        lengths, [expected; N],
        "mixture_logistic: {} examples of {}",
        batch.n_examples, batch.n_dims
    );
}

/// Splits a slice into the parts that blocks write, `rows` elements for each element of an example.
fn split<'a, T>(
    blocks: &[Block],
    rows: usize,
    mut slice: &'a mut [T],
) -> impl Iterator<Item = &'a mut [T]> {
    blocks.iter().map(move |block| {
        slice.split_off_mut(..block.n_elements() * rows).expect("outputs have the batch's shape")
    })
}
