//! What a backend implements.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

/// [The operation](super) on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(Flex: cfg(feature = "flex"))]
pub trait MovingAverageOps: Backend {
    /// [`moving_average`](super::moving_average): the updated average.
    fn moving_average(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: f64,
    ) -> FloatTensor<Self>;
}
