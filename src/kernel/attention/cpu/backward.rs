//! Gradient of a head.

use crate::kernel::simd::{Kernel, LANES, MultiplyAdd, Real};

use super::Head;
use super::pack::{by_channel, by_position, panels};
use super::tile::{Panel, WIDTH, exp_of_negative, inner_products, mul_add, outer_products, splat, total, unroll, zip};

/// Queries whose gradients with respect to scores are held at once: with 512 keys, 32 KiB of f32.
const BLOCK: usize = 16;

/// Queries whose gradients are summed together.
const DOT_ROWS: usize = 2;

/// The kernel: `R` queries or channels at once in the registers.
#[derive(Debug)]
pub struct Backward<'a, T, const R: usize> {
    /// Queries, keys and values.
    pub head: Head<'a, T>,
    /// Output, `[channels, positions]`.
    pub output: &'a [T],
    /// Logarithms of the sums, a number per query.
    pub log_sums: &'a [T],
    /// Gradient of the output.
    pub gradient: &'a [T],
    /// Gradients of queries, keys and values, each `[channels, positions]`.
    pub gradients: [&'a mut [T]; 3],
}

impl<T: Real, const R: usize> Kernel for Backward<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { head, output, log_sums, gradient, gradients } = self;
        let [of_queries, of_keys, of_values] = gradients;
        let (n, d) = (head.n_positions, head.n_channels());
        let (zero, one, scale) = (T::zero(), T::one(), head.scale());
        let n_padded = d.next_multiple_of(R);
        let queries = by_position::<T, R>(head.queries, n, scale);
        let cotangents = by_position::<T, R>(gradient, n, one);
        let query_channels = by_channel::<T, R>(head.queries, n, scale);
        let cotangent_channels = by_channel::<T, R>(gradient, n, one);
        let keys = panels(head.keys, n, n_padded);
        let values = panels(head.values, n, d);
        let mut key_sums = vec![[splat(zero); R]; keys.len() / R];
        let mut value_sums = key_sums.clone();
        let mut row_terms = vec![[zero; 2]; n.next_multiple_of(R)];
        for (terms, &log_sum) in row_terms.iter_mut().zip(log_sums) {
            terms[0] = log_sum;
        }
        for (gradient, output) in gradient.chunks_exact(n).zip(output.chunks_exact(n)) {
            for ((terms, &gradient), &output) in row_terms.iter_mut().zip(gradient).zip(output) {
                terms[1] = M::mul_add(gradient, output, terms[1]);
            }
        }
        let n_panels = n.div_ceil(WIDTH);
        let mut weights = [splat(zero); BLOCK];
        let mut of_scores = vec![splat(zero); n_panels * BLOCK];
        let mut dots = vec![[[zero; LANES]; R]; BLOCK * n_padded / R];
        for start in (0..n).step_by(BLOCK) {
            let n_rows = BLOCK.min(n - start);
            let tiles = start / R * d..(start + n_rows).div_ceil(R) * d;
            let (queries, cotangents) = (&queries[tiles.clone()], &cotangents[tiles]);
            for (panel, of_scores) in of_scores.chunks_exact_mut(BLOCK).enumerate() {
                let keys = &keys[panel * n_padded..][..d];
                let values = &values[panel * d..][..d];
                let tiles = weights.as_chunks_mut::<R>().0.iter_mut().zip(of_scores.as_chunks_mut::<R>().0);
                let rows = queries.chunks_exact(d).zip(cotangents.chunks_exact(d));
                let terms = row_terms[start..].as_chunks::<R>().0;
                for (((weights, of_scores), (queries, cotangents)), terms) in tiles.zip(rows).zip(terms) {
                    let scores = outer_products::<T, M, R>(queries, keys);
                    let of_weights = outer_products::<T, M, R>(cotangents, values);
                    unroll!(r < R, {
                        let [log_sum, mean] = terms[r];
                        let weight = zip(scores[r], splat(log_sum), |s, l| exp_of_negative::<T, M>(s - l));
                        weights[r] = weight;
                        let excess = zip(of_weights[r], splat(mean), |g, m| g - m);
                        of_scores[r] = zip(weight, excess, |w, e| w * e);
                    });
                }
                // Weights of keys beyond the last have no meaning, and may not be finite.
                let valid = n - panel * WIDTH;
                if valid < WIDTH {
                    for row in of_scores.iter_mut() {
                        row.as_flattened_mut()[valid..].fill(zero);
                    }
                }
                let groups = panel * n_padded / R..(panel + 1) * n_padded / R;
                let sums = key_sums[groups.clone()].iter_mut().zip(&mut value_sums[groups]);
                let rows = query_channels.chunks_exact(n).zip(cotangent_channels.chunks_exact(n));
                for ((key_sums, value_sums), (queries, cotangents)) in sums.zip(rows) {
                    let rows = start..start + n_rows;
                    add::<T, M, R>(value_sums, &cotangents[rows.clone()], &weights[..n_rows]);
                    add::<T, M, R>(key_sums, &queries[rows], &of_scores[..n_rows]);
                }
            }
            let pairs = of_scores.as_chunks::<DOT_ROWS>().0;
            let keys = keys.as_chunks::<R>().0;
            for (row, dots) in dots.chunks_exact_mut(n_padded / R * DOT_ROWS).enumerate() {
                for (group, dots) in dots.as_chunks_mut::<DOT_ROWS>().0.iter_mut().enumerate() {
                    let a = pairs.iter().skip(row).step_by(BLOCK / DOT_ROWS);
                    let b = keys.iter().skip(group).step_by(n_padded / R);
                    *dots = inner_products::<T, M, DOT_ROWS, R>(a, b);
                }
            }
            for channel in 0..d {
                let row = &mut of_queries[channel * n + start..][..n_rows];
                for (index, to) in row.iter_mut().enumerate() {
                    let group = (index / DOT_ROWS * (n_padded / R) + channel / R) * DOT_ROWS + index % DOT_ROWS;
                    *to = scale * total(&dots[group][channel % R]);
                }
            }
        }
        unpack(key_sums.as_flattened(), n_padded, of_keys, n);
        unpack(value_sums.as_flattened(), n_padded, of_values, n);
    }
}

/// `sums += Σ_k rows[k]·panels[k]`.
#[inline(always)]
fn add<T: Real, M: MultiplyAdd, const R: usize>(sums: &mut [Panel<T>; R], rows: &[[T; R]], panels: &[Panel<T>]) {
    let products = outer_products::<T, M, R>(rows, panels);
    for (sum, product) in sums.iter_mut().zip(products) {
        *sum = zip(*sum, product, |sum, product| sum + product);
    }
}

/// Inverse of [`panels`].
#[inline(always)]
fn unpack<T: Real>(packed: &[Panel<T>], n_channels: usize, head: &mut [T], n_positions: usize) {
    for (channel, row) in head.chunks_exact_mut(n_positions).enumerate() {
        for (block, numbers) in row.chunks_mut(WIDTH).enumerate() {
            let n = numbers.len();
            numbers.copy_from_slice(&packed[block * n_channels + channel].as_flattened()[..n]);
        }
    }
}

const _: () = assert!(BLOCK.is_multiple_of(8) && BLOCK.is_multiple_of(DOT_ROWS));
#[allow(unused)]
fn _unused<T: Real, M: MultiplyAdd>(a: Panel<T>) -> Panel<T> {
    mul_add::<T, M>(a, a, a)
}
