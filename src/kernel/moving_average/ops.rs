//! What a backend implements.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;

use crate::kernel::tensors::Tensors;

/// [The operation](super) on a backend's tensors.
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
    /// [`moving_average`](super::moving_average): the updated average.
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
        let pairs = averages.0.into_iter().zip(values.0);
        Tensors(pairs.map(|(average, value)| Self::moving_average(average, value, rate)).collect())
    }
}

#[cfg(feature = "_gpu")]
fn all_updated(averages: &[TensorSpec], _values: &[TensorSpec], _rate: &f64) -> Vec<TensorSpec> {
    averages.to_vec()
}
