//! The kernel of the forward pass.

use cubecl::prelude::*;

use super::tile::{
    Block, EACH, LANES, SIDE, Split, add_mixed_group, block, clear, inner, new_tile, place, store,
    unit_x, unit_y,
};

/// Initial value of a running maximum: below every score, and finite, since WGSL may assume that
/// all values are.
const LOWEST: f32 = -3.0e38;

/// The places of the first query, key and value of a head in `projected`.
#[cube]
pub fn bases(block: &Block, heads: usize) -> (usize, usize, usize) {
    let head = block.channels * block.positions;
    let part = heads * head;
    let query = block.head / heads * 3 * part + block.head % heads * head;
    (query, query + part, query + 2 * part)
}

/// Mixed values and log-sums of a block of queries.
#[cube(launch)]
pub fn forward_kernel<F: Float, N: Float>(
    projected: &Tensor<F>,
    output: &mut Tensor<F>,
    log_sums: &mut Tensor<N>,
    heads: u32,
    channels: u32,
    positions: u32,
    cubes: u32,
    scale: InputScalar,
    #[comptime] split: Split,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let held = comptime!(split.held());
    let here = block(channels, positions, cubes, split);
    let (query, key, value) = bases(&here, heads as usize);
    let scale = scale.get::<N>();
    let (x, y) = (unit_x(), unit_y());

    let mut queries = new_tile::<N>();
    let mut others = new_tile::<N>();
    let mut weights = new_tile::<N>();
    // A number of each unit for each of its queries.
    let mut partial = Shared::<[N]>::new_slice(comptime!(LANES * SIDE));

    let mut scores = Array::<N>::new(comptime!(EACH * EACH));
    let mut mixed = Array::<N>::new(held);
    clear::<N>(&mut mixed, held);
    // The largest score so far of each query of the unit, and the sum of the exponentials over the
    // unit's keys, relative to it.
    let mut largest = Array::<N>::new(EACH);
    let mut sums = Array::<N>::new(EACH);
    clear::<N>(&mut sums, EACH);
    #[unroll]
    for a in 0..EACH {
        largest[a] = N::cast_from(LOWEST);
    }

    for keys in 0..here.positions.div_ceil(SIDE) {
        let start = keys * SIDE;
        inner::<F, N>(
            &mut scores,
            &mut queries,
            &mut others,
            projected,
            projected,
            query,
            key,
            start,
            &here,
            split,
        );
        #[unroll]
        for a in 0..EACH {
            let mut most = largest[a];
            #[unroll]
            for b in 0..EACH {
                let score = scores[b * EACH + a] * scale;
                scores[b * EACH + a] = score;
                let is_key = start + y + b * LANES < here.positions;
                most = select(is_key, N::max(most, score), most);
            }
            partial[y * SIDE + x + a * LANES] = most;
        }
        sync_cube();
        #[unroll]
        for a in 0..EACH {
            let mut most = largest[a];
            for lane in 0..LANES {
                most = N::max(most, partial[lane * SIDE + x + a * LANES]);
            }
            let rescale = N::exp(largest[a] - most);
            largest[a] = most;
            let mut sum = sums[a] * rescale;
            #[unroll]
            for b in 0..EACH {
                let row = y + b * LANES;
                let weight = select(
                    start + row < here.positions,
                    N::exp(scores[b * EACH + a] - most),
                    N::new(0.0),
                );
                sum += weight;
                weights[place(row, x + a * LANES)] = weight;
            }
            sums[a] = sum;
            #[unroll]
            for r in 0..comptime!(held / EACH) {
                mixed[r * EACH + a] *= rescale;
            }
        }
        add_mixed_group::<F, N>(
            &mut mixed,
            &mut others,
            &weights,
            projected,
            value,
            start,
            &here,
            split,
        );
    }

    // The sums over all keys.
    sync_cube();
    #[unroll]
    for a in 0..EACH {
        partial[y * SIDE + x + a * LANES] = sums[a];
    }
    sync_cube();
    let mut factors = Array::<N>::new(EACH);
    #[unroll]
    for a in 0..EACH {
        let column = x + a * LANES;
        let mut sum = partial[column];
        for lane in 1..LANES {
            sum += partial[lane * SIDE + column];
        }
        factors[a] = N::new(1.0) / sum;
        let position = here.start + column;
        if y == 0 && here.chunk == 0 && position < here.positions {
            log_sums[here.head * here.positions + position] = largest[a] + N::ln(sum);
        }
    }
    let base = here.head * here.channels * here.positions;
    store::<F, N>(output, &mixed, &factors, base, &here, split);
}
