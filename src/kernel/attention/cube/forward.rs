//! The kernel of the forward pass.

use cubecl::prelude::*;

use super::tile::{
    Block, EACH, Four, LANES, Rows, SIDE, Split, add_mixed_group, block, clear, inner, new_tile,
    place, projected_rows, rows_of, store, unit_x, unit_y,
};

/// Initial value of a running maximum: below every score, and finite, since WGSL may assume that
/// all values are.
const LOWEST: f32 = -3.0e38;

/// The rows of the queries, keys and values of a head in `projected`.
#[cube]
pub fn parts<F: Float>(
    projected: &Tensor<F>,
    bias: &Tensor<F>,
    block: &Block,
    heads: usize,
    #[comptime] biased: bool,
) -> (Rows, Rows, Rows) {
    let (example, head) = (block.head / heads, block.head % heads);
    let (part, first) = (heads * block.channels, head * block.channels);
    (
        projected_rows::<F>(projected, bias, example, first, biased),
        projected_rows::<F>(projected, bias, example, first + part, biased),
        projected_rows::<F>(projected, bias, example, first + 2 * part, biased),
    )
}

/// The rows of a head in a tensor of mixed values, `[B, F, P]`.
#[cube]
pub fn mixed_rows<F: Float>(mixed: &Tensor<F>, block: &Block, heads: usize) -> Rows {
    rows_of::<F>(mixed, block.head / heads, block.head % heads * block.channels)
}

/// Mixed values and log-sums of a block of queries.
#[cube(launch)]
pub fn forward_kernel<F: Float, N: Float>(
    projected: &Tensor<F>,
    bias: &Tensor<F>,
    output: &mut Tensor<F>,
    log_sums: &mut Tensor<N>,
    heads: u32,
    channels: u32,
    positions: u32,
    cubes: u32,
    scale: InputScalar,
    #[comptime] biased: bool,
    #[comptime] split: Split,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let held = comptime!(split.held());
    let here = block(CUBE_POS, channels, positions, cubes, split);
    let heads = heads as usize;
    let (query, key, value) = parts::<F>(projected, bias, &here, heads, biased);
    let scale = Four::<N>::new(scale.get::<N>());
    let (x, y) = (unit_x(), unit_y());

    let mut queries = new_tile::<N>();
    let mut others = new_tile::<N>();
    let mut weights = new_tile::<N>();
    // A number of each unit for each of its queries.
    let mut partial = Shared::<[Four<N>]>::new_slice(comptime!(LANES * LANES));

    let mut scores = Array::<Four<N>>::new(EACH);
    let mut mixed = Array::<Four<N>>::new(held);
    clear::<N>(&mut mixed, held);
    // The largest score so far of each query of the unit, and the sum of the exponentials over the
    // unit's keys, relative to it. They begin at values that the compiler does not know.
    let zero = N::cast_from(UNIT_POS) * N::new(0.0);
    let mut largest = Four::<N>::new(zero + N::cast_from(LOWEST));
    let mut sums = Four::<N>::new(zero);

    for keys in 0..here.positions.div_ceil(SIDE) {
        let start = keys * SIDE;
        inner::<F, N>(
            &mut scores,
            &mut queries,
            &mut others,
            projected,
            projected,
            bias,
            &query,
            &key,
            start,
            &here,
            biased,
            biased,
            split,
        );
        let mut most = largest;
        #[unroll]
        for b in 0..EACH {
            let score = scores[b] * scale;
            scores[b] = score;
            if start + y * EACH + b < here.positions {
                most = Four::<N>::max(most, score);
            }
        }
        partial[y * LANES + x] = most;
        sync_cube();
        for lane in 0..LANES {
            most = Four::<N>::max(most, partial[lane * LANES + x]);
        }
        let rescale = Four::<N>::exp(largest - most);
        largest = most;
        sums *= rescale;
        #[unroll]
        for b in 0..EACH {
            let row = y * EACH + b;
            let is_key = start + row < here.positions;
            let weight =
                select(is_key, Four::<N>::exp(scores[b] - most), Four::<N>::new(N::new(0.0)));
            sums += weight;
            weights[place(row, x)] = weight;
        }
        #[unroll]
        for r in 0..held {
            mixed[r] *= rescale;
        }
        add_mixed_group::<F, N>(
            &mut mixed,
            &mut others,
            &weights,
            projected,
            bias,
            &value,
            start,
            &here,
            biased,
            split,
        );
    }

    // The sums over all keys.
    sync_cube();
    partial[y * LANES + x] = sums;
    sync_cube();
    let mut sum = partial[x];
    for lane in 1..LANES {
        sum += partial[lane * LANES + x];
    }
    if y == 0 && here.chunk == 0 {
        let log_sum = largest + Four::<N>::ln(sum);
        let position = here.start + x * EACH;
        #[unroll]
        for a in 0..EACH {
            if position + a < here.positions {
                log_sums[here.head * here.positions + position + a] = log_sum.extract(a);
            }
        }
    }
    let to_rows = mixed_rows::<F>(&*output, &here, heads);
    store::<F, N>(output, &mixed, Four::<N>::new(N::new(1.0)) / sum, &to_rows, &here, split);
}
