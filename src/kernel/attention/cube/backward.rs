//! The kernels of the backward pass.

use cubecl::prelude::*;

use super::forward::bases;
use super::tile::{
    EACH, LANES, SIDE, Split, add_mixed_group, block, clear, inner, new_tile, place, store, unit_x,
    unit_y,
};

/// `D_i = Σ_c g_ci o_ci`; a unit computes one.
#[cube(launch)]
pub fn delta_kernel<F: Float, N: Float>(
    output: &Tensor<F>,
    gradient: &Tensor<F>,
    deltas: &mut Tensor<N>,
    positions: u32,
    channels: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= deltas.len() {
        terminate!();
    }
    let (positions, channels) = (positions as usize, channels as usize);
    let base = ABSOLUTE_POS / positions * channels * positions + ABSOLUTE_POS % positions;
    let mut delta = N::new(0.0);
    for channel in 0..channels {
        let element = base + channel * positions;
        delta += N::cast_from(gradient[element]) * N::cast_from(output[element]);
    }
    deltas[ABSOLUTE_POS] = delta;
}

/// `p_ij`, at most 1. The comparison lets NaN pass.
#[cube]
fn probability<N: Float>(score: N, log_sum: N) -> N {
    let exponent = score - log_sum;
    N::exp(select(exponent > N::new(0.0), N::new(0.0), exponent))
}

/// `dq` of a block of queries.
#[cube(launch)]
pub fn query_kernel<F: Float, N: Float>(
    projected: &Tensor<F>,
    log_sums: &Tensor<N>,
    deltas: &Tensor<N>,
    gradient: &Tensor<F>,
    of_projected: &mut Tensor<F>,
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
    let mixed = here.head * here.channels * here.positions;
    let scale = scale.get::<N>();
    let (x, y) = (unit_x(), unit_y());

    let mut own = new_tile::<N>();
    let mut others = new_tile::<N>();
    let mut weights = new_tile::<N>();

    let mut scores = Array::<N>::new(comptime!(EACH * EACH));
    let mut slopes = Array::<N>::new(comptime!(EACH * EACH));
    let mut of_queries = Array::<N>::new(held);
    clear::<N>(&mut of_queries, held);
    let mut log_sum = Array::<N>::new(EACH);
    let mut delta = Array::<N>::new(EACH);
    clear::<N>(&mut log_sum, EACH);
    clear::<N>(&mut delta, EACH);
    #[unroll]
    for a in 0..EACH {
        let position = here.start + x + a * LANES;
        if position < here.positions {
            log_sum[a] = log_sums[here.head * here.positions + position];
            delta[a] = deltas[here.head * here.positions + position];
        }
    }

    for keys in 0..here.positions.div_ceil(SIDE) {
        let start = keys * SIDE;
        inner::<F, N>(
            &mut scores,
            &mut own,
            &mut others,
            projected,
            projected,
            query,
            key,
            start,
            &here,
            split,
        );
        inner::<F, N>(
            &mut slopes,
            &mut own,
            &mut others,
            gradient,
            projected,
            mixed,
            value,
            start,
            &here,
            split,
        );
        #[unroll]
        for a in 0..EACH {
            #[unroll]
            for b in 0..EACH {
                // Keys beyond the last are 0 in the product below.
                let weight = probability::<N>(scores[b * EACH + a] * scale, log_sum[a]);
                weights[place(y + b * LANES, x + a * LANES)] =
                    weight * (slopes[b * EACH + a] - delta[a]);
            }
        }
        add_mixed_group::<F, N>(
            &mut of_queries,
            &mut others,
            &weights,
            projected,
            key,
            start,
            &here,
            split,
        );
    }
    let mut factors = Array::<N>::new(EACH);
    #[unroll]
    for a in 0..EACH {
        factors[a] = scale;
    }
    store::<F, N>(of_projected, &of_queries, &factors, query, &here, split);
}

/// `dk` and `dv` of a block of keys.
#[cube(launch)]
pub fn key_kernel<F: Float, N: Float>(
    projected: &Tensor<F>,
    log_sums: &Tensor<N>,
    deltas: &Tensor<N>,
    gradient: &Tensor<F>,
    of_projected: &mut Tensor<F>,
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
    let mixed = here.head * here.channels * here.positions;
    let scale = scale.get::<N>();
    let (x, y) = (unit_x(), unit_y());

    let mut own = new_tile::<N>();
    let mut others = new_tile::<N>();
    let mut weights = new_tile::<N>();

    let mut scores = Array::<N>::new(comptime!(EACH * EACH));
    let mut slopes = Array::<N>::new(comptime!(EACH * EACH));
    let mut of_keys = Array::<N>::new(held);
    let mut of_values = Array::<N>::new(held);
    clear::<N>(&mut of_keys, held);
    clear::<N>(&mut of_values, held);

    for queries in 0..here.positions.div_ceil(SIDE) {
        let start = queries * SIDE;
        inner::<F, N>(
            &mut scores,
            &mut own,
            &mut others,
            projected,
            projected,
            key,
            query,
            start,
            &here,
            split,
        );
        inner::<F, N>(
            &mut slopes,
            &mut own,
            &mut others,
            projected,
            gradient,
            value,
            mixed,
            start,
            &here,
            split,
        );
        #[unroll]
        for b in 0..EACH {
            let position = start + y + b * LANES;
            let is_query = position < here.positions;
            let index = here.head * here.positions + select(is_query, position, 0);
            let (log_sum, delta) = (log_sums[index], deltas[index]);
            #[unroll]
            for a in 0..EACH {
                let weight = probability::<N>(scores[b * EACH + a] * scale, log_sum);
                let weight = select(is_query, weight, N::new(0.0));
                weights[place(y + b * LANES, x + a * LANES)] = weight;
                // From here on the gradient of the score.
                scores[b * EACH + a] = weight * (slopes[b * EACH + a] - delta);
            }
        }
        add_mixed_group::<F, N>(
            &mut of_values,
            &mut others,
            &weights,
            gradient,
            mixed,
            start,
            &here,
            split,
        );
        sync_cube();
        #[unroll]
        for b in 0..EACH {
            #[unroll]
            for a in 0..EACH {
                weights[place(y + b * LANES, x + a * LANES)] = scores[b * EACH + a];
            }
        }
        add_mixed_group::<F, N>(
            &mut of_keys,
            &mut others,
            &weights,
            projected,
            query,
            start,
            &here,
            split,
        );
    }
    let mut factors = Array::<N>::new(EACH);
    #[unroll]
    for a in 0..EACH {
        factors[a] = scale;
    }
    store::<F, N>(of_projected, &of_keys, &factors, key, &here, split);
    #[unroll]
    for a in 0..EACH {
        factors[a] = N::new(1.0);
    }
    store::<F, N>(of_projected, &of_values, &factors, value, &here, split);
}
