//! The kernels of the backward pass.

use cubecl::prelude::*;

use super::forward::{mixed_rows, parts};
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
    heads: u32,
    positions: u32,
    channels: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= deltas.len() {
        terminate!();
    }
    let (heads, positions) = (heads as usize, positions as usize);
    let channels = channels as usize;
    let (head, position) = (ABSOLUTE_POS / positions, ABSOLUTE_POS % positions);
    let (example, first) = (head / heads, head % heads * channels);
    let mut delta = N::new(0.0);
    for channel in first..first + channels {
        let of_output =
            example * output.stride(0) + channel * output.stride(1) + position * output.stride(2);
        let of_gradient = example * gradient.stride(0)
            + channel * gradient.stride(1)
            + position * gradient.stride(2);
        delta += N::cast_from(gradient[of_gradient]) * N::cast_from(output[of_output]);
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
    bias: &Tensor<F>,
    log_sums: &Tensor<N>,
    deltas: &Tensor<N>,
    gradient: &Tensor<F>,
    of_projected: &mut Tensor<F>,
    here: &Block,
    heads: usize,
    scale: Four<N>,
    #[comptime] biased: bool,
    #[comptime] split: Split,
) {
    let held = comptime!(split.held());
    let (query, key, value) = parts::<F>(projected, bias, here, heads, biased);
    let mixed = mixed_rows::<F>(gradient, here, heads);
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
            bias,
            &query,
            &key,
            start,
            here,
            biased,
            biased,
            split,
        );
        inner::<F, N>(
            &mut slopes,
            own,
            others,
            gradient,
            projected,
            bias,
            &mixed,
            &value,
            start,
            here,
            false,
            biased,
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
            bias,
            &key,
            start,
            here,
            biased,
            split,
        );
    }
    let (to_query, _, _) = parts::<F>(&*of_projected, bias, here, heads, false);
    store::<F, N>(of_projected, &of_queries, scale, &to_query, here, split);
}

/// `dk` and `dv` of a block of keys.
#[cube]
fn of_keys_and_values<F: Float, N: Float>(
    own: &mut Shared<[Four<N>]>,
    others: &mut Shared<[Four<N>]>,
    weights: &mut Shared<[Four<N>]>,
    projected: &Tensor<F>,
    bias: &Tensor<F>,
    log_sums: &Tensor<N>,
    deltas: &Tensor<N>,
    gradient: &Tensor<F>,
    of_projected: &mut Tensor<F>,
    here: &Block,
    heads: usize,
    scale: Four<N>,
    #[comptime] biased: bool,
    #[comptime] split: Split,
) {
    let held = comptime!(split.held());
    let (query, key, value) = parts::<F>(projected, bias, here, heads, biased);
    let mixed = mixed_rows::<F>(gradient, here, heads);
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
            bias,
            &key,
            &query,
            start,
            here,
            biased,
            biased,
            split,
        );
        inner::<F, N>(
            &mut slopes,
            own,
            others,
            projected,
            gradient,
            bias,
            &value,
            &mixed,
            start,
            here,
            biased,
            false,
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
            bias,
            &mixed,
            start,
            here,
            false,
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
            bias,
            &query,
            start,
            here,
            biased,
            split,
        );
    }
    let (_, to_key, to_value) = parts::<F>(&*of_projected, bias, here, heads, false);
    store::<F, N>(of_projected, &of_keys, scale, &to_key, here, split);
    let one = Four::<N>::new(N::new(1.0));
    store::<F, N>(of_projected, &of_values, one, &to_value, here, split);
}

/// `dq` in the first `cubes` cubes, `dk` and `dv` in as many others.
#[cube(launch)]
pub fn gradient_kernel<F: Float, N: Float>(
    projected: &Tensor<F>,
    bias: &Tensor<F>,
    log_sums: &Tensor<N>,
    deltas: &Tensor<N>,
    gradient: &Tensor<F>,
    of_projected: &mut Tensor<F>,
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
            bias,
            log_sums,
            deltas,
            gradient,
            of_projected,
            &here,
            heads as usize,
            scale,
            biased,
            split,
        );
    } else {
        of_keys_and_values::<F, N>(
            &mut own,
            &mut others,
            &mut weights,
            projected,
            bias,
            log_sums,
            deltas,
            gradient,
            of_projected,
            &here,
            heads as usize,
            scale,
            biased,
            split,
        );
    }
}
