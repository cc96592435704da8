//! The operation on tensors of burn's GPU backends.
//! ```text
//! launch 1    a sum of squares for each cube, of which each tensor has a row
//! launch 2    the sum of these sums, in one cube, and its root
//! ```
//! Where there are more tensors than one launch can bind, each launch writes a buffer of its own
//! and adds what the launch before has found. CubeCL skips a launch that reads what a failed
//! allocation left unwritten, and marks what it would have written; a later launch into the same
//! buffer would clear the mark, and the norm would be a number from nowhere.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::GlobalNormOps;
use crate::kernel::cube::many::{Grid, launches, many, writable};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{UNITS, arithmetic, empty_in, scalar, types};
use crate::kernel::tensors::Tensors;

/// The sum of the squares that one unit of a row reads.
#[cube]
fn squares_of_unit<F: Float, N: Float>(tensor: &[F]) -> N {
    let stride = CUBE_COUNT_X as usize * CUBE_DIM_X as usize;
    let mut sum = N::cast_from(0u32.runtime());
    let mut at = ABSOLUTE_POS_X as usize;
    while at < tensor.len() {
        let here = N::cast_from(tensor[at]);
        sum += here * here;
        at += stride;
    }
    sum
}

/// Writes the sums of the cubes. The first one adds the sums of the launch before, if there is one.
#[cube(launch)]
fn squares_kernel<F: Float, N: Float>(
    tensors: &Sequence<Box<[F]>>,
    before: &Sequence<Box<[N]>>,
    sums: &mut [N],
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let mut sum = N::cast_from(0u32.runtime());
    let count = comptime!(tensors.len());
    #[unroll]
    for index in 0..count {
        if CUBE_POS_Y as usize == index {
            sum = squares_of_unit::<F, N>(&tensors[index]);
        }
    }
    let launches_before = comptime!(before.len());
    #[unroll]
    for index in 0..launches_before {
        if CUBE_POS == 0 {
            sum += sum_of_unit::<N>(&before[index]);
        }
    }
    let sum = sum_of_units::<N>(sum);
    if UNIT_POS == 0 {
        sums[CUBE_POS] = sum;
    }
}

/// The part of the sum of all numbers that one unit of a cube adds.
#[cube]
fn sum_of_unit<N: Float>(numbers: &[N]) -> N {
    let mut sum = N::cast_from(0u32.runtime());
    let mut at = UNIT_POS as usize;
    while at < numbers.len() {
        sum += numbers[at];
        at += CUBE_DIM as usize;
    }
    sum
}

/// The root of the sum of all sums, in one cube. Without sums it is 0.
#[cube(launch)]
fn root_kernel<N: Float>(
    sums: &Sequence<Box<[N]>>,
    norm: &mut [N],
    #[define(N)] _arithmetic: ElemType,
) {
    let mut sum = N::cast_from(0u32.runtime());
    let count = comptime!(sums.len());
    #[unroll]
    for index in 0..count {
        sum += sum_of_unit::<N>(&sums[index]);
    }
    let sum = sum_of_units::<N>(sum);
    if UNIT_POS == 0 {
        norm[0] = N::sqrt(sum);
    }
}

/// The cubes of row `y` of the grid scale tensor `y`.
#[cube(launch)]
fn scale_kernel<F: Float, N: Float>(
    tensors: &mut Sequence<Box<[F]>>,
    factor: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let factor = factor.get::<N>();
    let count = comptime!(tensors.len());
    #[unroll]
    for index in 0..count {
        if CUBE_POS_Y as usize == index {
            scale_one::<F, N>(&mut tensors[index], factor);
        }
    }
}

#[cube]
fn scale_one<F: Float, N: Float>(tensor: &mut [F], factor: N) {
    let stride = CUBE_COUNT_X as usize * CUBE_DIM_X as usize;
    let mut at = ABSOLUTE_POS_X as usize;
    while at < tensor.len() {
        tensor[at] = F::cast_from(N::cast_from(tensor[at]) * factor);
        at += stride;
    }
}

impl GlobalNormOps for CubeBackend {
    fn global_norm(tensors: Tensors<Self>) -> FloatTensor<Self> {
        let tensors: Vec<CubeTensor> = tensors.0.into_iter().map(into_contiguous).collect();
        let like = &tensors[0];
        let (storage, numbers) = types(like.dtype);
        let dtype = arithmetic(like.dtype);
        let norm = empty_in(like, dtype, [1]);
        // Without an element there is no launch, and no sum.
        let mut before: Option<CubeTensor> = None;
        for tensors in launches(&tensors, 1, |tensor| tensor) {
            let grid = Grid::of(tensors.iter().copied());
            let sums = empty_in(like, dtype, [grid.cubes()]);
            squares_kernel::launch(
                &like.client,
                grid.count(),
                grid.units(),
                many(tensors.into_iter()),
                many(before.iter()),
                sums.clone().into_buffer_arg(),
                storage,
                numbers,
            );
            before = Some(sums);
        }
        root_kernel::launch(
            &like.client,
            CubeCount::Static(1, 1, 1),
            CubeDim::new_1d(UNITS),
            many(before.iter()),
            norm.clone().into_buffer_arg(),
            numbers,
        );
        norm
    }

    fn scale_all(tensors: Tensors<Self>, factor: f64) -> Tensors<Self> {
        let tensors: Vec<CubeTensor> = tensors.0.into_iter().map(writable).collect();
        for tensors in launches(&tensors, 1, |tensor| tensor) {
            let (dtype, grid) = (tensors[0].dtype, Grid::of(tensors.iter().copied()));
            let (storage, numbers) = types(dtype);
            scale_kernel::launch(
                &tensors[0].client,
                grid.count(),
                grid.units(),
                many(tensors.into_iter()),
                scalar(factor, dtype),
                storage,
                numbers,
            );
        }
        Tensors(tensors)
    }
}
