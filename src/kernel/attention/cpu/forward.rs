//! Attention of some queries of a head.

use std::ops::Range;

use crate::kernel::simd::{Kernel, MultiplyAdd, Real, larger, ln};

use super::Head;
use super::pack::{by_channel, by_position};
use super::tile::{Panel, WIDTH, exp_of_negative, mul_add, outer_products, splat, zip};

/// Keys whose scores are held at once, 8 KiB of f32.
const BLOCK: usize = 128;

/// The kernel: `R` keys or channels at once in the registers.
#[derive(Debug)]
pub struct Forward<'a, T, const R: usize> {
    /// Queries, keys and values.
    pub head: Head<'a, T>,
    /// Positions of the queries.
    pub queries: Range<usize>,
    /// A row of outputs per channel.
    pub output: Vec<&'a mut [T]>,
    /// A number per query.
    pub log_sums: &'a mut [T],
}

impl<T: Real, const R: usize> Kernel for Forward<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { head, queries, mut output, log_sums } = self;
        let (n, d) = (head.n_positions, head.n_channels());
        let (zero, scale) = (T::zero(), head.scale());
        let keys = by_position::<T, R>(head.keys, n, T::one());
        let values = by_channel::<T, R>(head.values, n, T::one());
        let mut query = vec![splat(zero); d];
        let mut weights = vec![splat(zero); BLOCK];
        let mut totals = vec![[splat(zero); R]; d.div_ceil(R)];
        for start in queries.clone().step_by(WIDTH) {
            let width = WIDTH.min(queries.end - start);
            for (panel, row) in query.iter_mut().zip(head.queries.chunks_exact(n)) {
                for (to, &from) in panel.as_flattened_mut().iter_mut().zip(&row[start..start + width]) {
                    *to = from * scale;
                }
            }
            totals.fill([splat(zero); R]);
            let mut sum = splat(zero);
            let mut highest = splat(T::neg_infinity());
            for first in (0..n).step_by(BLOCK) {
                let n_keys = BLOCK.min(n - first);
                let block = &keys[first / R * d..(first + n_keys).div_ceil(R) * d];
                let new = scores::<T, M, R>(block, &query, &mut weights, n_keys, highest);
                let factor = zip(highest, new, |old, new| exp_of_negative::<T, M>(old - new));
                highest = new;
                let block_sum = exponentials::<T, M>(&mut weights[..n_keys], highest);
                sum = mul_add::<T, M>(sum, factor, block_sum);
                for (total, values) in totals.iter_mut().zip(values.chunks_exact(n)) {
                    let products = outer_products::<T, M, R>(&values[first..first + n_keys], &weights[..n_keys]);
                    for (total, product) in total.iter_mut().zip(products) {
                        *total = mul_add::<T, M>(*total, factor, product);
                    }
                }
            }
            let range = start - queries.start..start - queries.start + width;
            let inverse = zip(sum, sum, |sum, _| T::one() / sum);
            for (row, &total) in output.iter_mut().zip(totals.as_flattened()) {
                let mixed = zip(total, inverse, |total, inverse| total * inverse);
                row[range.clone()].copy_from_slice(&mixed.as_flattened()[..width]);
            }
            let log_sum = zip(highest, sum, |highest, sum| highest + ln::<T, M>(sum));
            log_sums[range].copy_from_slice(&log_sum.as_flattened()[..width]);
        }
    }
}

/// Scores of some queries with a block of keys, and the largest of them and of `highest`.
#[inline(always)]
fn scores<T: Real, M: MultiplyAdd, const R: usize>(
    keys: &[[T; R]],
    query: &[Panel<T>],
    scores: &mut [Panel<T>],
    n_keys: usize,
    highest: Panel<T>,
) -> Panel<T> {
    let tiles = scores.as_chunks_mut::<R>().0.iter_mut().zip(keys.chunks_exact(query.len()));
    for (tile, keys) in tiles {
        *tile = outer_products::<T, M, R>(keys, query);
    }
    let mut highest = highest;
    for &score in &scores[..n_keys] {
        highest = zip(highest, score, larger);
    }
    highest
}

/// `e^{x − highest}` in place, and the sum.
#[inline(always)]
fn exponentials<T: Real, M: MultiplyAdd>(x: &mut [Panel<T>], highest: Panel<T>) -> Panel<T> {
    let mut sum = splat(T::zero());
    for x in x {
        let weight = zip(*x, highest, |x, highest| exp_of_negative::<T, M>(x - highest));
        *x = weight;
        sum = zip(sum, weight, |sum, weight| sum + weight);
    }
    sum
}
