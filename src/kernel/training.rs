//! The kernels of training.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::adam::Rates;

/// Operations on parameters that have kernels on the CPU, of float32 and float64, outside of any
/// graph.
///
/// # Panics
/// Every method, before it computes anything, if its tensors are not of one shape and type. The
/// message names the operand, what was expected, and all that came.
#[backend_extension(Flex: cfg(feature = "flex"))]
pub trait TrainingOps: Backend {
    /// [`adam`](super::adam): the parameter, the mean and the square, each moved. The mean and the
    /// square stay where they are if no one else holds them.
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`moving_average`](super::moving_average): the average, moved.
    fn moving_average(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: f64,
    ) -> FloatTensor<Self>;
}
