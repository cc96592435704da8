//! Multi-head attention on the GPU backends, without a matrix of scores (Dao et al. 2022,
//! FlashAttention). Formulas and symbols are those of `cpu/mod.rs`.
//!
//! # Forward pass
//! One cube of 64 units computes the results of one block of 32 queries of one head. It goes over
//! the keys in blocks of 32. For each it
//! 1. loads the queries and the keys into shared memory and computes the scores `s`, 32 by 32, of
//!    which each unit holds 4 by 4 in registers;
//! 2. finds the largest score `m` so far of each query, multiplies what it has summed by
//!    `e^(m before − m)`, and writes the weights `w = e^(s − m)` to shared memory;
//! 3. loads the values and adds `Σ w v` and `Σ w` to the sums.
//!
//! At the end `o = Σ w v / Σ w` and `L = m + ln Σ w`. Exponents are at most 0 and `Σ w` is at least
//! 1, so nothing overflows, whatever the size of the scores. `L` has the type of the arithmetic: in
//! a 16-bit type its rounding would be a factor of each probability.
//!
//! # Backward pass
//! `p_ij = e^(s_ij − L_i)` is computed anew from the queries and the keys. Two launches:
//! 1. `D_i = Σ_c g_ci o_ci`, one query a unit;
//! 2. `dq`, where a cube has a block of queries and goes over the keys, and in as many other cubes
//!    `dk` and `dv`, where a cube has a block of keys and goes over the queries.
//!
//! Both kinds of cubes compute the same probabilities, which costs two of seven products but needs
//! no atomic additions. Each element is the sum of one unit in a fixed order, so results are the
//! same in each run.
//!
//! # Memory
//! Shared memory holds three tiles of 32 by 36 elements and, in the forward pass, 8 by 32 partial
//! results: 14,848 bytes in f32, within the 16 KiB that WebGPU promises, and twice as many in f64.
//! The device holds operands, results, `L` and `D`: it is linear in positions. Let there be
//! `n = ⌈P/32⌉` blocks, `E = B·F·P` elements, and up to 128 channels a head. The forward pass reads
//! `3·n·E` elements and writes `E`. The first launch of the backward pass reads `2·E`; the second
//! reads `5·n·E` for the queries and `6·n·E` for keys and values, and writes `3·E`. `L` and `D`
//! come on top, one number for each of `d` elements. The cubes of a head read the same elements at
//! about the same time, so the device's cache serves most of these reads.
//!
//! # Any order in memory
//! Each operand has its own strides, so one with the channels last in memory needs no copy. A bias
//! for each channel and position, of which all examples have the same, is added where an element is
//! loaded.
//!
//! # Any shape
//! Channels of a head are taken in chunks of at most 32, positions beyond the last are 0 in a tile
//! and have weight 0. A cube holds sums of up to 128 channels. For heads with more, several cubes
//! compute the results of a block, and each computes all its scores.

mod backward;
mod forward;
mod tile;

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use self::backward::{delta_kernel, gradient_kernel};
use self::forward::forward_kernel;
use self::tile::{SIDE, Split, UNITS};
use super::check;
use super::{AttentionGradient, AttentionOps};
use crate::kernel::cube::{arithmetic, empty, empty_in, scalar, types, unit_each};
use crate::kernel::operands::operands;

/// What the launches of one call have in common.
struct Call {
    batch: usize,
    heads: usize,
    /// Channels of a head.
    channels: usize,
    positions: usize,
    split: Split,
    /// Number of blocks, each of which is one cube's.
    cubes: usize,
}

impl Call {
    fn new(projected: &CubeTensor, heads: usize) -> Self {
        let [batch, channels, positions] = projected.meta.shape().dims();
        let channels = channels / (3 * heads);
        let split = Split::new(channels);
        let cubes = batch * heads * split.n_groups(channels) * positions.div_ceil(SIDE);
        Self { batch, heads, channels, positions, split, cubes }
    }

    /// Shape of the mixed values.
    fn mixed(&self) -> [usize; 3] {
        [self.batch, self.heads * self.channels, self.positions]
    }

    /// Shape of a number for each head and query.
    fn each(&self) -> [usize; 3] {
        [self.batch, self.heads, self.positions]
    }

    fn grid(&self, like: &CubeTensor, cubes: usize) -> (CubeCount, CubeDim) {
        let units = CubeDim::new_1d(UNITS as u32);
        (cubecl::calculate_cube_count_elemwise(&like.client, cubes * UNITS, units), units)
    }

    /// `1/√d`.
    fn scale(&self, like: &CubeTensor) -> InputScalar {
        scalar((self.channels as f64).powf(-0.5), like.dtype)
    }
}

/// What attention reads: `[B, 3F, P]` in any order in memory, and `[3F, P]`, which is added to each
/// example, if there is such a bias.
pub struct Projected {
    pub sums: CubeTensor,
    pub bias: Option<CubeTensor>,
}

impl Projected {
    /// The bias, or a tensor that no kernel reads.
    fn bound(&self) -> CubeTensor {
        self.bias.as_ref().unwrap_or(&self.sums).clone()
    }
}

/// The log-sums `[B, heads, P]`. Writes the mixed values to `output [B, F, P]`, whose order in
/// memory is the caller's.
pub fn forward(projected: Projected, output: &CubeTensor, heads: usize) -> CubeTensor {
    let call = Call::new(&projected.sums, heads);
    let log_sums = empty_in(output, arithmetic(output.dtype), call.each());
    let (count, units) = call.grid(output, call.cubes);
    let scale = call.scale(output);
    let (storage, arithmetic) = types(output.dtype);
    forward_kernel::launch(
        &output.client,
        count,
        units,
        projected.sums.clone().into_tensor_arg(),
        projected.bound().into_tensor_arg(),
        output.clone().into_tensor_arg(),
        log_sums.clone().into_tensor_arg(),
        heads as u32,
        call.channels as u32,
        call.positions as u32,
        call.cubes as u32,
        scale,
        projected.bias.is_some(),
        call.split,
        storage,
        arithmetic,
    );
    log_sums
}

/// Writes the gradient of the projected values to `of_projected [B, 3F, P]`, whose order in memory
/// is the caller's. `output` and its gradient are `[B, F, P]` in any order.
pub fn backward(
    projected: Projected,
    output: CubeTensor,
    log_sums: CubeTensor,
    gradient: CubeTensor,
    of_projected: &CubeTensor,
    heads: usize,
) {
    let log_sums = into_contiguous(log_sums);
    let call = Call::new(&projected.sums, heads);
    let deltas = deltas(&call, output, gradient.clone());
    let scale = call.scale(of_projected);
    let (count, units) = call.grid(of_projected, 2 * call.cubes);
    let (storage, arithmetic) = types(of_projected.dtype);
    gradient_kernel::launch(
        &of_projected.client,
        count,
        units,
        projected.sums.clone().into_tensor_arg(),
        projected.bound().into_tensor_arg(),
        log_sums.into_tensor_arg(),
        deltas.into_tensor_arg(),
        gradient.into_tensor_arg(),
        of_projected.clone().into_tensor_arg(),
        heads as u32,
        call.channels as u32,
        call.positions as u32,
        call.cubes as u32,
        scale,
        projected.bias.is_some(),
        call.split,
        storage,
        arithmetic,
    );
}

impl AttentionOps for CubeBackend {
    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("self_attention", projected), heads);
        let output = empty(&projected, Call::new(&projected, heads).mixed());
        let log_sums = forward(Projected { sums: projected, bias: None }, &output, heads);
        (output, log_sums)
    }
}

impl AttentionGradient for CubeBackend {
    fn self_attention_backward(
        projected: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let precise = arithmetic(projected.dtype);
        let call = operands!(
            "self_attention_backward", projected, output, gradient;
            log_sums: precise
        );
        check(call, heads);
        let of_projected = empty(&projected, projected.meta.shape().clone());
        let projected = Projected { sums: projected, bias: None };
        backward(projected, output, log_sums, gradient, &of_projected, heads);
        of_projected
    }
}

/// `D [B, heads, P]`, in the type of the arithmetic.
fn deltas(call: &Call, output: CubeTensor, gradient: CubeTensor) -> CubeTensor {
    let deltas = empty_in(&output, arithmetic(output.dtype), call.each());
    let (count, units) = unit_each(&output, call.each().iter().product());
    let (storage, arithmetic) = types(output.dtype);
    delta_kernel::launch(
        &deltas.client,
        count,
        units,
        output.into_tensor_arg(),
        gradient.into_tensor_arg(),
        deltas.clone().into_tensor_arg(),
        call.heads as u32,
        call.positions as u32,
        call.channels as u32,
        storage,
        arithmetic,
    );
    deltas
}
