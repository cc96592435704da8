//! A step of an exponential moving average.
//! ```text
//! average ← average − rate·(average − value)      rate = 1 − decay
//! ```
//! Written as a step towards the value, so that an average equal to the value stays the same, bit
//! for bit.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod ops;
pub mod plain;

use burn::backend::{Dispatch, DispatchTensor};
use burn::tensor::Tensor;

use super::operands::operands;
use super::served::{FLOATS, Served};
use super::tensors::grouped;

pub use ops::MovingAverageOps;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS };

/// The updated average.
///
/// # Shapes
/// Both of the same shape.
///
/// # Panics
/// If shapes or types differ, or a tensor is on a device with autodiff.
pub fn update<const D: usize>(average: Tensor<D>, value: Tensor<D>, rate: f64) -> Tensor<D> {
    operands!("moving_average", average, value).alike();
    assert!(
        !average.is_autodiff() && !value.is_autodiff(),
        "moving_average: expected tensors on a device without autodiff"
    );
    if !SERVED.serves(&average) {
        return plain::update(average, value, rate);
    }
    let (average, value) = (average.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(<Dispatch as MovingAverageOps>::moving_average(average, value, rate))
}

/// [`update`] of several averages: each an average and its value, of any number of axes. On a GPU
/// it takes few launches. The results are in the order of the operands.
///
/// # Panics
/// As [`update`], and if the kernels do not serve a tensor.
pub fn update_all(updates: Vec<[DispatchTensor; 2]>, rate: f64) -> Vec<DispatchTensor> {
    for [average, value] in &updates {
        operands!("moving_average", average, value).alike();
        SERVED.require("moving_average", [average, value]);
    }
    let moved = grouped(updates, |[averages, values]| {
        [<Dispatch as MovingAverageOps>::moving_average_all(averages, values, rate)]
    });
    moved.into_iter().map(|[moved]| moved).collect()
}
