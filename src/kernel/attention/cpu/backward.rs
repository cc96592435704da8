//! Backward pass of a head.

use crate::kernel::cpu::simd::{Kernel, LANES, Lanes, MultiplyAdd, Real};

use super::head::Head;
use super::pack::{fill, panels, rows_of_channels, rows_of_positions, unpack};
use super::tile::{
    Panel, Row, TILE, WIDTH, exp_of_negative, inner_products, outer_products, splat, total, unroll,
    zip,
};

/// Queries whose gradients of scores are held at once: 128 KiB of f32 with 512 keys, read once.
const BLOCK: usize = 64;

/// Copies and sums of a task, reused by the next task.
#[derive(Debug, Default)]
pub struct Buffers<T> {
    terms: Vec<[Row<T>; 2]>,
    scorers: [Vec<Row<T>>; 2],
    factors: [Vec<Row<T>>; 2],
    keys: Vec<Panel<T>>,
    values: Vec<Panel<T>>,
    key_sums: Vec<[Panel<T>; TILE]>,
    value_sums: Vec<[Panel<T>; TILE]>,
    weights: Vec<Panel<T>>,
    of_scores: Vec<Panel<T>>,
    products: Vec<[[Lanes<T>; TILE]; TILE]>,
}

/// The backward pass of a head.
#[derive(Debug)]
pub struct Backward<'a, T> {
    /// The head.
    pub head: Head<'a, T>,
    /// Output, `[channels, positions]`.
    pub output: &'a [T],
    /// `ln Σ_j e^{s_ij}` of each position.
    pub log_sums: &'a [T],
    /// Gradient of the output.
    pub gradient: &'a [T],
    /// Gradients of queries, keys and values, each `[channels, positions]`.
    pub gradients: [&'a mut [T]; 3],
    /// Buffers.
    pub buffers: &'a mut Buffers<T>,
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self {
            head,
            output,
            log_sums,
            gradient,
            gradients: [of_queries, of_keys, of_values],
            buffers,
        } = self;
        let Buffers { terms, scorers, factors, keys, values, .. } = buffers;
        let Buffers { key_sums, value_sums, weights, of_scores, products, .. } = buffers;
        let (n, d) = (head.positions, head.channels);
        let (zero, one, scale) = (T::zero(), T::one(), head.scale());
        let n_padded = d.next_multiple_of(TILE);
        row_terms::<T, M>(terms, n, output, log_sums, gradient);
        for (index, (matrix, scale)) in
            [(head.queries, scale), (gradient, one)].into_iter().enumerate()
        {
            rows_of_positions(&mut scorers[index], matrix, n, scale);
            rows_of_channels(&mut factors[index], matrix, n, scale);
        }
        panels(keys, head.keys, n, n_padded);
        panels(values, head.values, n, d);
        fill(key_sums, keys.len() / TILE, [splat(zero); TILE]);
        fill(value_sums, keys.len() / TILE, [splat(zero); TILE]);
        fill(weights, BLOCK, splat(zero));
        fill(of_scores, BLOCK * n.div_ceil(WIDTH), splat(zero));
        fill(products, BLOCK / TILE * n_padded / TILE, [[[zero; LANES]; TILE]; TILE]);
        for start in (0..n).step_by(BLOCK) {
            let n_rows = BLOCK.min(n - start);
            let [queries, cotangents] = [0, 1].map(|i| &scorers[i][start / TILE * d..]);
            let block = Block {
                queries,
                cotangents,
                terms: &terms[start / TILE..(start + n_rows).div_ceil(TILE)],
            };
            for (panel, of_scores) in of_scores.chunks_exact_mut(BLOCK).enumerate() {
                let keys = &keys[panel * n_padded..][..d];
                block.weigh::<M>(keys, &values[panel * d..][..d], weights, of_scores);
                let n_keys = n - panel * WIDTH;
                if n_keys < WIDTH {
                    // The weights of keys beyond the last have no meaning and may be infinite.
                    for row in of_scores.iter_mut() {
                        row.0.as_flattened_mut()[n_keys..].fill(zero);
                    }
                }
                let groups = panel * n_padded / TILE..(panel + 1) * n_padded / TILE;
                let sums = key_sums[groups.clone()].iter_mut().zip(&mut value_sums[groups]);
                for (group, (key_sums, value_sums)) in sums.enumerate() {
                    let rows = group * n + start..group * n + start + n_rows;
                    add_products::<T, M>(key_sums, &factors[0][rows.clone()], of_scores);
                    add_products::<T, M>(value_sums, &factors[1][rows], weights);
                }
            }
            inner::<T, M>(of_scores, keys, n_padded, n_rows, products);
            for (channel, elements) in of_queries.chunks_exact_mut(n).enumerate() {
                for (row, to) in elements[start..start + n_rows].iter_mut().enumerate() {
                    let tile = &products[row / TILE * (n_padded / TILE) + channel / TILE];
                    *to = scale * total(&tile[row % TILE][channel % TILE]);
                }
            }
        }
        unpack(key_sums.as_flattened(), n_padded, of_keys, n);
        unpack(value_sums.as_flattened(), n_padded, of_values, n);
    }
}

/// `L_i` and `D_i` of [`TILE`] queries each.
#[inline(always)]
fn row_terms<T: Real, M: MultiplyAdd>(
    terms: &mut Vec<[Row<T>; 2]>,
    n: usize,
    output: &[T],
    log_sums: &[T],
    gradient: &[T],
) {
    fill(terms, n.div_ceil(TILE), [[T::zero(); TILE]; 2]);
    for (terms, log_sums) in terms.iter_mut().zip(log_sums.chunks(TILE)) {
        terms[0][..log_sums.len()].copy_from_slice(log_sums);
    }
    for (gradient, output) in gradient.chunks_exact(n).zip(output.chunks_exact(n)) {
        let rows = gradient.chunks(TILE).zip(output.chunks(TILE));
        for (terms, (gradient, output)) in terms.iter_mut().zip(rows) {
            for (sum, (&gradient, &output)) in terms[1].iter_mut().zip(gradient.iter().zip(output))
            {
                *sum = M::mul_add(gradient, output, *sum);
            }
        }
    }
}

/// A block of queries: rows of positions, with the terms `L_i` and `D_i`.
struct Block<'a, T> {
    queries: &'a [Row<T>],
    cotangents: &'a [Row<T>],
    terms: &'a [[Row<T>; 2]],
}

impl<T: Real> Block<'_, T> {
    /// Weights of a panel of keys, and the gradients of their scores.
    #[inline(always)]
    fn weigh<M: MultiplyAdd>(
        &self,
        keys: &[Panel<T>],
        values: &[Panel<T>],
        weights: &mut [Panel<T>],
        of_scores: &mut [Panel<T>],
    ) {
        let rows =
            self.queries.chunks_exact(keys.len()).zip(self.cotangents.chunks_exact(keys.len()));
        let tiles =
            weights.as_chunks_mut::<TILE>().0.iter_mut().zip(of_scores.as_chunks_mut::<TILE>().0);
        for (((queries, cotangents), &[log_sums, means]), (weights, of_scores)) in
            rows.zip(self.terms).zip(tiles)
        {
            let scores = outer_products::<T, M>(queries, keys);
            let of_weights = outer_products::<T, M>(cotangents, values);
            unroll!(r in [0, 1, 2, 3] => {
                let weight = zip(scores[r], splat(log_sums[r]), |s, log_sum| {
                    exp_of_negative::<T, M>(s - log_sum)
                });
                let excess =
                    zip(of_weights[r], splat(means[r]), |of_weight, mean| of_weight - mean);
                weights[r] = weight;
                of_scores[r] = zip(weight, excess, |weight, excess| weight * excess);
            });
        }
    }
}

/// `sums += Σ_k rows[k]·panels[k]`.
#[inline(always)]
fn add_products<T: Real, M: MultiplyAdd>(
    sums: &mut [Panel<T>; TILE],
    rows: &[Row<T>],
    panels: &[Panel<T>],
) {
    let products = outer_products::<T, M>(rows, panels);
    for (sum, product) in sums.iter_mut().zip(products) {
        *sum = zip(*sum, product, |sum, product| sum + product);
    }
}

/// `Σ_j r_ij k_cj`, before the sum over the lanes: for each [`TILE`] queries, for each [`TILE`]
/// channels.
#[inline(always)]
fn inner<T: Real, M: MultiplyAdd>(
    of_scores: &[Panel<T>],
    keys: &[Panel<T>],
    n_channels: usize,
    n_rows: usize,
    products: &mut [[[Lanes<T>; TILE]; TILE]],
) {
    let (of_scores, keys) = (of_scores.as_chunks::<TILE>().0, keys.as_chunks::<TILE>().0);
    let n_groups = n_channels / TILE;
    for (row, products) in
        products.chunks_exact_mut(n_groups).take(n_rows.div_ceil(TILE)).enumerate()
    {
        for (group, products) in products.iter_mut().enumerate() {
            let of_scores = of_scores.iter().skip(row).step_by(BLOCK / TILE);
            *products =
                inner_products::<T, M>(of_scores, keys.iter().skip(group).step_by(n_groups));
        }
    }
}

const _: () = assert!(BLOCK.is_multiple_of(TILE));
