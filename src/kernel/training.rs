//! The kernels of training.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::adam::Rates;

/// Operations on parameters that have kernels on the CPU, of float32 and float64, outside of any
/// graph.
///
/// # Panics
/// Every method, before it computes anything, if its tensors are not of one shape and type. The
/// message names the operand, what was expected, and all operands found.
#[backend_extension(Flex: cfg(feature = "flex"))]
pub trait TrainingOps: Backend {
    /// [`adam`](super::adam): the updated parameter, mean and square. The mean and the square are
    /// updated in place if nobody else holds their memory.
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`moving_average`](super::moving_average): the updated average.
    fn moving_average(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: f64,
    ) -> FloatTensor<Self>;
}
