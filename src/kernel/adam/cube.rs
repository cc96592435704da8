//! The operation on tensors of burn's GPU backends: a launch updates several parameters.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::AdamOps;
use super::Rates;
use crate::kernel::cube::many::{Grid, launches, many, writable};
use crate::kernel::cube::{empty, scalar, types};
use crate::kernel::operands::operands;
use crate::kernel::tensors::{Tensors, of_one_length};

/// Tensors of an update that a launch binds: `θ` before and after, `g`, `m` and `v`.
const BINDINGS: usize = 5;

/// Factors of an update: `β₁` and `β₂`, `1 − β₁` and `1 − β₂`, rate and `ε`.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Factors {
    decay_1: InputScalar,
    decay_2: InputScalar,
    share_1: InputScalar,
    share_2: InputScalar,
    rate: InputScalar,
    epsilon: InputScalar,
}

/// The cubes of row `y` of the grid update parameter `y`.
#[cube(launch)]
fn update_kernel<F: Float>(
    parameters: &Sequence<Box<[F]>>,
    gradients: &Sequence<Box<[F]>>,
    means: &mut Sequence<Box<[F]>>,
    squares: &mut Sequence<Box<[F]>>,
    moved: &mut Sequence<Box<[F]>>,
    factors: Factors,
    #[define(F)] _storage: ElemType,
) {
    let count = comptime!(parameters.len());
    #[unroll]
    for index in 0..count {
        if CUBE_POS_Y as usize == index {
            update_one::<F>(
                &parameters[index],
                &gradients[index],
                &mut means[index],
                &mut squares[index],
                &mut moved[index],
                &factors,
            );
        }
    }
}

#[cube]
fn update_one<F: Float>(
    parameter: &[F],
    gradient: &[F],
    mean: &mut [F],
    square: &mut [F],
    moved: &mut [F],
    factors: &Factors,
) {
    let (decay_1, share_1) = (factors.decay_1.get::<F>(), factors.share_1.get::<F>());
    let (decay_2, share_2) = (factors.decay_2.get::<F>(), factors.share_2.get::<F>());
    let (rate, epsilon) = (factors.rate.get::<F>(), factors.epsilon.get::<F>());
    let stride = CUBE_COUNT_X as usize * CUBE_DIM_X as usize;
    let mut at = ABSOLUTE_POS_X as usize;
    while at < parameter.len() {
        let slope = gradient[at];
        let m = decay_1 * mean[at] + share_1 * slope;
        let v = decay_2 * square[at] + share_2 * (slope * slope);
        mean[at] = m;
        square[at] = v;
        moved[at] = parameter[at] - rate * m / (F::sqrt(v) + epsilon);
        at += stride;
    }
}

/// The operands of the update of one parameter, and where its result goes.
struct Update {
    parameter: CubeTensor,
    gradient: CubeTensor,
    mean: CubeTensor,
    square: CubeTensor,
    moved: CubeTensor,
}

impl Update {
    fn of(
        parameter: CubeTensor,
        gradient: CubeTensor,
        mean: CubeTensor,
        square: CubeTensor,
    ) -> Self {
        operands!("adam", parameter, gradient, mean, square).alike();
        let moved = empty(&parameter, parameter.meta.shape().clone());
        Self {
            parameter: into_contiguous(parameter),
            gradient: into_contiguous(gradient),
            mean: writable(mean),
            square: writable(square),
            moved,
        }
    }
}

/// Updates parameters of one type, each with at least one element.
fn launch(updates: &[&Update], rates: Rates) {
    let Rates { beta_1, beta_2, rate, epsilon } = rates;
    let dtype = updates[0].parameter.dtype;
    let grid = Grid::of(updates.iter().map(|update| &update.moved));
    let number = |value| scalar(value, dtype);
    update_kernel::launch(
        &updates[0].parameter.client,
        grid.count(),
        grid.units(),
        many(updates.iter().map(|update| &update.parameter)),
        many(updates.iter().map(|update| &update.gradient)),
        many(updates.iter().map(|update| &update.mean)),
        many(updates.iter().map(|update| &update.square)),
        many(updates.iter().map(|update| &update.moved)),
        FactorsLaunch::new(
            number(beta_1),
            number(beta_2),
            number(1.0 - beta_1),
            number(1.0 - beta_2),
            number(rate),
            number(epsilon),
        ),
        types(dtype).0,
    );
}

fn launch_all(updates: &[Update], rates: Rates) {
    for updates in launches(updates, BINDINGS, |update| &update.moved) {
        launch(&updates, rates);
    }
}

impl AdamOps for CubeBackend {
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let update = Update::of(parameter, gradient, mean, square);
        launch_all(std::slice::from_ref(&update), rates);
        (update.moved, update.mean, update.square)
    }

    fn adam_all(
        parameters: Tensors<Self>,
        gradients: Tensors<Self>,
        means: Tensors<Self>,
        squares: Tensors<Self>,
        rates: Rates,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        of_one_length("adam", [&parameters, &gradients, &means, &squares]);
        let states = means.0.into_iter().zip(squares.0);
        let updates: Vec<Update> = (parameters.0.into_iter().zip(gradients.0).zip(states))
            .map(|((parameter, gradient), (mean, square))| {
                Update::of(parameter, gradient, mean, square)
            })
            .collect();
        launch_all(&updates, rates);
        let mut updated = (Vec::new(), Vec::new(), Vec::new());
        for Update { moved, mean, square, .. } in updates {
            updated.0.push(moved);
            updated.1.push(mean);
            updated.2.push(square);
        }
        (Tensors(updated.0), Tensors(updated.1), Tensors(updated.2))
    }
}
