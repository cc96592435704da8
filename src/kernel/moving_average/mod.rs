//! A step of an exponential moving average.
//! ```text
//! average ← average − rate·(average − value)      rate = 1 − decay
//! ```
//! Written as a step towards the value, so that an average equal to the value stays the same, bit
//! for bit.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
mod flex;
mod ops;
pub mod plain;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::operands::operands;
use super::served::{FLOATS, NONE, Served};

pub use ops::MovingAverageOps;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: NONE };

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
