//! The search for a gradient that is not finite: it ends on every healthy model, whatever the
//! model's parts share, names the part at fault, and lets `Skip` and `Restore` go on.

use std::sync::MutexGuard;

use burn::tensor::{Device, Tensor};

#[path = "../common/build.rs"]
mod build;
#[path = "../common/draws.rs"]
mod draws;
mod healthy;
mod planted;

/// All tests start from one seed.
fn turn() -> MutexGuard<'static, ()> {
    draws::seeded(&device(), 3)
}

fn device() -> Device {
    Device::flex().autodiff()
}

/// Rows of a condition that a graph made, as an embedding in training does.
fn embedded(n: usize, width: usize) -> Tensor<2> {
    let table = Tensor::<2>::ones([width, width], &device()).require_grad();
    let rows: Vec<f32> = (0..n * width).map(|i| (i % 3) as f32 - 1.0).collect();
    Tensor::<1>::from_data(rows.as_slice(), &device()).reshape([n, width]).matmul(table)
}
