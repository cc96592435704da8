//! The kernels of the backward pass.

use cubecl::prelude::*;

use super::forward::bases;
use super::tile::{
    Block, EACH, Four, SIDE, Split, add_mixed_group, block, clear, inner, new_tile, place, store,
    unit_x, unit_y,
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
fn probability<N: Float>(score: Four<N>, log_sum: Four<N>) -> Four<N> {
    let exponents = score - log_sum;
    let mut bounded = exponents;
    #[unroll]
    for a in 0..EACH {
        let exponent = exponents.extract(a);
        bounded.insert(a, select(exponent > N::new(0.0), N::new(0.0), exponent));
    }
    Four::<N>::exp(bounded)
}

/// `dq` of a block of queries.
#[cube]
fn of_queries<F: Float, N: Float>(
    own: &mut Shared<[Four<N>]>,
    others: &mut Shared<[Four<N>]>,
    weights: &mut Shared<[Four<N>]>,
    projected: &Tensor<F>,
    log_sums: &Tensor<N>,
    deltas: &Tensor<N>,
    gradient: &Tensor<F>,
    of_projected: &mut Tensor<F>,
    here: &Block,
    heads: usize,
    scale: Four<N>,
    #[comptime] split: Split,
) {
    let held = comptime!(split.held());
    let (query, key, value) = bases(here, heads);
    let mixed = here.head * here.channels * here.positions;
    let (x, y) = (unit_x(), unit_y());

    let mut scores = Array::<Four<N>>::new(EACH);
    let mut slopes = Array::<Four<N>>::new(EACH);
    let mut of_queries = Array::<Four<N>>::new(held);
    clear::<N>(&mut of_queries, held);
    let mut log_sum = Four::<N>::empty();
    let mut delta = Four::<N>::empty();
    #[unroll]
    for a in 0..EACH {
        let position = here.start + x * EACH + a;
        let is_query = position < here.positions;
        let index = select(is_query, here.head * here.positions + position, 0);
        log_sum.insert(a, select(is_query, log_sums[index], N::new(0.0)));
        delta.insert(a, select(is_query, deltas[index], N::new(0.0)));
    }

    for keys in 0..here.positions.div_ceil(SIDE) {
        let start = keys * SIDE;
        inner::<F, N>(
            &mut scores,
            own,
            others,
            projected,
            projected,
            query,
            key,
            start,
            here,
            split,
        );
        inner::<F, N>(
            &mut slopes,
            own,
            others,
            gradient,
            projected,
            mixed,
            value,
            start,
            here,
            split,
        );
        #[unroll]
        for b in 0..EACH {
            // Keys beyond the last are 0 in the product below.
            let weight = probability::<N>(scores[b] * scale, log_sum);
            weights[place(y * EACH + b, x)] = weight * (slopes[b] - delta);
        }
        add_mixed_group::<F, N>(
            &mut of_queries,
            others,
            &*weights,
            projected,
            key,
            start,
            here,
            split,
        );
    }
    store::<F, N>(of_projected, &of_queries, scale, query, here, split);
}

/// `dk` and `dv` of a block of keys.
#[cube]
fn of_keys_and_values<F: Float, N: Float>(
    own: &mut Shared<[Four<N>]>,
    others: &mut Shared<[Four<N>]>,
    weights: &mut Shared<[Four<N>]>,
    projected: &Tensor<F>,
    log_sums: &Tensor<N>,
    deltas: &Tensor<N>,
    gradient: &Tensor<F>,
    of_projected: &mut Tensor<F>,
    here: &Block,
    heads: usize,
    scale: Four<N>,
    #[comptime] split: Split,
) {
    let held = comptime!(split.held());
    let (query, key, value) = bases(here, heads);
    let mixed = here.head * here.channels * here.positions;
    let (x, y) = (unit_x(), unit_y());

    let mut scores = Array::<Four<N>>::new(EACH);
    let mut slopes = Array::<Four<N>>::new(EACH);
    let mut of_keys = Array::<Four<N>>::new(held);
    let mut of_values = Array::<Four<N>>::new(held);
    clear::<N>(&mut of_keys, held);
    clear::<N>(&mut of_values, held);

    for queries in 0..here.positions.div_ceil(SIDE) {
        let start = queries * SIDE;
        inner::<F, N>(
            &mut scores,
            own,
            others,
            projected,
            projected,
            key,
            query,
            start,
            here,
            split,
        );
        inner::<F, N>(
            &mut slopes,
            own,
            others,
            projected,
            gradient,
            value,
            mixed,
            start,
            here,
            split,
        );
        #[unroll]
        for b in 0..EACH {
            let row = y * EACH + b;
            let is_query = start + row < here.positions;
            let index = select(is_query, here.head * here.positions + start + row, 0);
            let log_sum = Four::<N>::new(log_sums[index]);
            let delta = Four::<N>::new(deltas[index]);
            let weight = select(
                is_query,
                probability::<N>(scores[b] * scale, log_sum),
                Four::<N>::new(N::new(0.0)),
            );
            weights[place(row, x)] = weight;
            // From here on the gradient of the score.
            scores[b] = weight * (slopes[b] - delta);
        }
        add_mixed_group::<F, N>(
            &mut of_values,
            others,
            &*weights,
            gradient,
            mixed,
            start,
            here,
            split,
        );
        sync_cube();
        #[unroll]
        for b in 0..EACH {
            weights[place(y * EACH + b, x)] = scores[b];
        }
        add_mixed_group::<F, N>(
            &mut of_keys,
            others,
            &*weights,
            projected,
            query,
            start,
            here,
            split,
        );
    }
    store::<F, N>(of_projected, &of_keys, scale, key, here, split);
    let one = Four::<N>::new(N::new(1.0));
    store::<F, N>(of_projected, &of_values, one, value, here, split);
}

/// `dq` in the first `cubes` cubes, `dk` and `dv` in as many others.
#[cube(launch)]
pub fn gradient_kernel<F: Float, N: Float>(
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
    let first_of_keys = cubes as usize;
    let of_queries_here = CUBE_POS < first_of_keys;
    let index = select(of_queries_here, CUBE_POS, CUBE_POS - first_of_keys);
    let here = block(index, channels, positions, cubes, split);
    let scale = Four::<N>::new(scale.get::<N>());
    let mut own = new_tile::<N>();
    let mut others = new_tile::<N>();
    let mut weights = new_tile::<N>();
    if of_queries_here {
        of_queries::<F, N>(
            &mut own,
            &mut others,
            &mut weights,
            projected,
            log_sums,
            deltas,
            gradient,
            of_projected,
            &here,
            heads as usize,
            scale,
            split,
        );
    } else {
        of_keys_and_values::<F, N>(
            &mut own,
            &mut others,
            &mut weights,
            projected,
            log_sums,
            deltas,
            gradient,
            of_projected,
            &here,
            heads as usize,
            scale,
            split,
        );
    }
}
