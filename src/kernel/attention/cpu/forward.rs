//! Forward pass of some queries of a head.

use std::ops::Range;

use crate::kernel::cpu::simd::{Kernel, MultiplyAdd, Real, larger, ln};

use super::head::Head;
use super::pack::{fill, rows_of_channels, rows_of_positions};
use super::tile::{Panel, Row, TILE, WIDTH, exp_of_negative, mul_add, outer_products, splat, zip};

/// Keys whose weights are held at once: 8 KiB of f32, and so few rescalings that their cost does
/// not matter.
const BLOCK: usize = 64;

/// Copies and sums of a task, reused by the next task.
#[derive(Debug, Default)]
pub struct Buffers<T> {
    keys: Vec<Row<T>>,
    values: Vec<Row<T>>,
    query: Vec<Panel<T>>,
    weights: Vec<Panel<T>>,
    mixed: Vec<[Panel<T>; TILE]>,
}

/// The forward pass of some queries.
#[derive(Debug)]
pub struct Forward<'a, T> {
    /// The head.
    pub head: Head<'a, T>,
    /// Positions of the queries.
    pub queries: Range<usize>,
    /// Outputs of the queries, for each channel.
    pub output: Vec<&'a mut [T]>,
    /// `ln Σ_j e^{s_ij}` of the queries.
    pub log_sums: &'a mut [T],
    /// Buffers.
    pub buffers: &'a mut Buffers<T>,
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { head, queries, mut output, log_sums, buffers } = self;
        let Buffers { keys, values, query, weights, mixed } = buffers;
        let (n, d) = (head.positions, head.channels);
        let (zero, one, scale) = (T::zero(), T::one(), head.scale());
        rows_of_positions(keys, head.keys, n, one);
        rows_of_channels(values, head.values, n, one);
        fill(query, d, splat(zero));
        fill(weights, BLOCK, splat(zero));
        for start in queries.clone().step_by(WIDTH) {
            // In a last panel that is not full, the other lanes keep their values: no operation
            // crosses lanes.
            let width = WIDTH.min(queries.end - start);
            for (panel, elements) in query.iter_mut().zip(head.queries.chunks_exact(n)) {
                for (to, &from) in
                    panel.0.as_flattened_mut().iter_mut().zip(&elements[start..start + width])
                {
                    *to = from * scale;
                }
            }
            fill(mixed, d.div_ceil(TILE), [splat(zero); TILE]);
            let (mut sum, mut highest) = (splat(zero), splat(T::neg_infinity()));
            for first in (0..n).step_by(BLOCK) {
                let n_keys = BLOCK.min(n - first);
                let rows = &keys[first / TILE * d..(first + n_keys).div_ceil(TILE) * d];
                scores::<T, M>(rows, query, weights);
                let weights = &mut weights[..n_keys];
                let before = highest;
                // A loop, because `fold` may not be inlined.
                for &score in &*weights {
                    highest = zip(highest, score, larger);
                }
                let factor = zip(before, highest, |before, highest| {
                    exp_of_negative::<T, M>(before - highest)
                });
                sum = mul_add::<T, M>(sum, factor, exponentials::<T, M>(weights, highest));
                for (mixed, values) in mixed.iter_mut().zip(values.chunks_exact(n)) {
                    let products = outer_products::<T, M>(&values[first..first + n_keys], weights);
                    for (mixed, product) in mixed.iter_mut().zip(products) {
                        *mixed = mul_add::<T, M>(*mixed, factor, product);
                    }
                }
            }
            let range = start - queries.start..start - queries.start + width;
            let reciprocal = zip(sum, sum, |sum, _| one / sum);
            for (to, &mixed) in output.iter_mut().zip(mixed.as_flattened()) {
                let mixed = zip(mixed, reciprocal, |mixed, reciprocal| mixed * reciprocal);
                to[range.clone()].copy_from_slice(&mixed.0.as_flattened()[..width]);
            }
            let log_sum = zip(highest, sum, |highest, sum| highest + ln::<T, M>(sum));
            log_sums[range].copy_from_slice(&log_sum.0.as_flattened()[..width]);
        }
    }
}

/// Scores of a panel of queries with the keys.
#[inline(always)]
fn scores<T: Real, M: MultiplyAdd>(keys: &[Row<T>], query: &[Panel<T>], scores: &mut [Panel<T>]) {
    for (scores, keys) in
        scores.as_chunks_mut::<TILE>().0.iter_mut().zip(keys.chunks_exact(query.len()))
    {
        *scores = outer_products::<T, M>(keys, query);
    }
}

/// Replaces scores by `e^{s − highest}` and returns their sum.
#[inline(always)]
fn exponentials<T: Real, M: MultiplyAdd>(scores: &mut [Panel<T>], highest: Panel<T>) -> Panel<T> {
    let mut sum = splat(T::zero());
    for score in scores {
        let weight =
            zip(*score, highest, |score, highest| exp_of_negative::<T, M>(score - highest));
        *score = weight;
        sum = zip(sum, weight, |sum, weight| sum + weight);
    }
    sum
}

const _: () = assert!(BLOCK.is_multiple_of(TILE));
