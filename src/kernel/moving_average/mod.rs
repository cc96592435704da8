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
pub mod plain;

#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchTensor, backend_extension};
use burn::tensor::Tensor;

use super::operands::operands;
use super::served::{FLOATS, Served};
use super::tensors::{Tensors, grouped, of_one_length};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait MovingAverageOps: Backend {
    /// The updated average.
    #[fusion(dtype = average, shape = average)]
    fn moving_average(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: f64,
    ) -> FloatTensor<Self>;

    /// [`MovingAverageOps::moving_average`] for several averages of one type, in few launches. The
    /// lists are of the same length, at least 1.
    #[fusion(meta = all_updated)]
    fn moving_average_all(
        #[extension_type] averages: Tensors<Self>,
        #[extension_type] values: Tensors<Self>,
        rate: f64,
    ) -> Tensors<Self> {
        of_one_length("moving_average", [&averages, &values]);
        let pairs = averages.0.into_iter().zip(values.0);
        Tensors(pairs.map(|(average, value)| Self::moving_average(average, value, rate)).collect())
    }
}

#[cfg(feature = "_gpu")]
fn all_updated(averages: &[TensorSpec], _values: &[TensorSpec], _rate: &f64) -> Vec<TensorSpec> {
    averages.to_vec()
}

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
