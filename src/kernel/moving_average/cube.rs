//! The operation on tensors of burn's GPU backends: a launch updates several averages.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::MovingAverageOps;
use crate::kernel::cube::many::{Grid, launches, many};
use crate::kernel::cube::{empty, scalar, types};
use crate::kernel::operands::operands;
use crate::kernel::tensors::{Tensors, of_one_length};

/// Tensors of an update that a launch binds.
const BINDINGS: usize = 3;

/// The cubes of row `y` of the grid update average `y`.
#[cube(launch)]
fn update_kernel<F: Float>(
    averages: &Sequence<Box<[F]>>,
    values: &Sequence<Box<[F]>>,
    moved: &mut Sequence<Box<[F]>>,
    rate: InputScalar,
    #[define(F)] _storage: ElemType,
) {
    let rate = rate.get::<F>();
    let count = comptime!(averages.len());
    #[unroll]
    for index in 0..count {
        if CUBE_POS_Y as usize == index {
            update_one::<F>(&averages[index], &values[index], &mut moved[index], rate);
        }
    }
}

#[cube]
fn update_one<F: Float>(average: &[F], value: &[F], moved: &mut [F], rate: F) {
    let stride = CUBE_COUNT_X as usize * CUBE_DIM_X as usize;
    let mut at = ABSOLUTE_POS_X as usize;
    while at < average.len() {
        moved[at] = average[at] - rate * (average[at] - value[at]);
        at += stride;
    }
}

struct Update {
    average: CubeTensor,
    value: CubeTensor,
    moved: CubeTensor,
}

impl Update {
    fn of(average: CubeTensor, value: CubeTensor) -> Self {
        operands!("moving_average", average, value).alike();
        let moved = empty(&average, average.meta.shape().clone());
        Self { average: into_contiguous(average), value: into_contiguous(value), moved }
    }
}

/// Updates averages of one type, each with at least one element.
fn launch(updates: &[&Update], rate: f64) {
    let average = &updates[0].average;
    let grid = Grid::of(updates.iter().map(|update| &update.moved));
    update_kernel::launch(
        &average.client,
        grid.count(),
        grid.units(),
        many(updates.iter().map(|update| &update.average)),
        many(updates.iter().map(|update| &update.value)),
        many(updates.iter().map(|update| &update.moved)),
        scalar(rate, average.dtype),
        types(average.dtype).0,
    );
}

fn launch_all(updates: &[Update], rate: f64) {
    for updates in launches(updates, BINDINGS, |update| &update.moved) {
        launch(&updates, rate);
    }
}

impl MovingAverageOps for CubeBackend {
    fn moving_average(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: f64,
    ) -> FloatTensor<Self> {
        let update = Update::of(average, value);
        launch_all(std::slice::from_ref(&update), rate);
        update.moved
    }

    fn moving_average_all(
        averages: Tensors<Self>,
        values: Tensors<Self>,
        rate: f64,
    ) -> Tensors<Self> {
        of_one_length("moving_average", [&averages, &values]);
        let pairs = averages.0.into_iter().zip(values.0);
        let updates: Vec<Update> =
            pairs.map(|(average, value)| Update::of(average, value)).collect();
        launch_all(&updates, rate);
        Tensors(updates.into_iter().map(|update| update.moved).collect())
    }
}
