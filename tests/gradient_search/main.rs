//! The search for a gradient that is not finite: it ends on every healthy model, whatever the
//! model's parts share, names the part at fault, and lets `Skip` and `Restore` go on.

use std::sync::{Mutex, MutexGuard};

use burn::tensor::{Device, Tensor};

#[path = "../common/build.rs"]
mod build;
mod healthy;
mod planted;

/// The seed of a device is global to the process, so tests take turns.
static DRAWS: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = DRAWS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    device().seed(3);
    turn
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
