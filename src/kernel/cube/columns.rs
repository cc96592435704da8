//! Sums over all positions of a batch, of several numbers of each channel, by the kernel that
//! computes these numbers.
//!
//! A unit of that kernel has one position. The cube adds the numbers of its units in shared memory,
//! [`ROUND`] of them at a time, and writes its sums. A second launch adds the sums of all cubes.
//! Only the sums pass through memory, `1/UNITS` of the numbers. The order of the additions is
//! fixed, so each run gives the same result.
//! ```text
//! partials [S, cubes]    the sums of each cube
//! totals   [S]           the sums of these
//! ```

use burn::tensor::Shape;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::reduce::sum_of_units;
use super::{UNITS, arithmetic, cube_each, empty, empty_in, types};

/// Numbers of each unit that a cube adds at a time: 16 KiB of float32, the shared memory that
/// every WebGPU device has. Float64 takes twice as much; most WebGPU devices do not have it.
pub const ROUND: usize = 16;

/// Units that add the numbers of one sum.
const LANES: usize = UNITS as usize / ROUND;

/// Shared memory for the numbers of a round.
#[cube]
pub fn new_columns<N: Float>() -> Shared<[N]> {
    Shared::<[N]>::new_slice(comptime!(ROUND * UNITS as usize))
}

/// Gives a unit's number for one sum of the round.
#[cube]
pub fn put<N: Float>(columns: &mut Shared<[N]>, sum: usize, number: N) {
    columns[sum * UNITS as usize + UNIT_POS as usize] = number;
}

/// The sum `UNIT_POS` of a round, in the first [`ROUND`] units.
#[cube]
fn sum_of_column<N: Float>(columns: &mut Shared<[N]>) -> N {
    sync_cube();
    let unit = UNIT_POS as usize;
    let first = unit / LANES * UNITS as usize + unit % LANES;
    let mut part = N::new(0.0);
    for step in 0..comptime!(ROUND) {
        part += columns[first + step * LANES];
    }
    sync_cube();
    columns[unit] = part;
    sync_cube();
    let mut sum = N::new(0.0);
    if unit < ROUND {
        for lane in 0..comptime!(LANES) {
            sum += columns[unit * LANES + lane];
        }
    }
    // Nobody writes the numbers of the next round before all have read these.
    sync_cube();
    sum
}

/// Ends a round: writes the sums of a cube for `kinds` numbers of each of the channels of the
/// round, `ROUND / kinds` of `channels`. Every unit has to have put each of its numbers, those of a
/// kind side by side, and to call this.
#[cube]
pub fn end_round<N: Float>(
    columns: &mut Shared<[N]>,
    partials: &mut Tensor<N>,
    round: usize,
    channels: usize,
    #[comptime] kinds: usize,
) {
    let sum = sum_of_column::<N>(columns);
    let each = comptime!(ROUND / kinds);
    let unit = UNIT_POS as usize;
    let channel = round * each + unit % each;
    let cubes = partials.shape(1);
    // The grid may have more cubes than those that have positions.
    if channel < channels && unit < ROUND && CUBE_POS < cubes {
        partials[(unit / each * channels + channel) * cubes + CUBE_POS] = sum;
    }
}

/// Writes sum `CUBE_POS` where the sums of a tensor begin with number `first`. Returns the number
/// with which those of the next one begin.
#[cube]
fn write_total<F: Float, N: Float>(total: &mut [F], first: usize, sum: N) -> usize {
    let next = first + total.len();
    if UNIT_POS == 0 && CUBE_POS >= first && CUBE_POS < next {
        total[CUBE_POS - first] = F::cast_from(sum);
    }
    next
}

/// The sums of all cubes, in one tensor after another.
#[cube(launch)]
fn totals_kernel<F: Float, N: Float>(
    partials: &Tensor<N>,
    totals: &mut Sequence<Box<[F]>>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (sums, cubes) = (partials.shape(0), partials.shape(1));
    let mut sum = N::new(0.0);
    if CUBE_POS < sums {
        let mut cube = UNIT_POS as usize;
        while cube < cubes {
            sum += partials[CUBE_POS * cubes + cube];
            cube += UNITS as usize;
        }
    }
    let sum = sum_of_units::<N>(sum);
    let mut first = 0usize.runtime();
    let count = comptime!(totals.len());
    #[unroll]
    for index in 0..count {
        first = write_total::<F, N>(&mut totals[index], first, sum);
    }
}

/// Memory for the sums of each cube of a kernel with one unit for each of `positions`. Without a
/// position there is still one cube, whose sums are 0.
pub fn partials_of(like: &CubeTensor, sums: usize, positions: usize) -> CubeTensor {
    let cubes = positions.div_ceil(UNITS as usize).max(1);
    empty_in(like, arithmetic(like.dtype), [sums, cubes])
}

/// The sums of all cubes as tensors of these shapes, which hold the sums in their order.
pub fn totals<const T: usize>(
    partials: CubeTensor,
    like: &CubeTensor,
    shapes: [Shape; T],
) -> [CubeTensor; T] {
    let [sums, _] = partials.meta.shape().dims();
    let totals = shapes.map(|shape| empty(like, shape));
    let (count, units) = cube_each(like, sums);
    let (storage, arithmetic) = types(like.dtype);
    totals_kernel::launch(
        &like.client,
        count,
        units,
        partials.into_tensor_arg(),
        totals.iter().map(|total| total.clone().into_buffer_arg()).collect(),
        storage,
        arithmetic,
    );
    totals
}
