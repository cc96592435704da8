//! What a backend implements.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::rates::Rates;

/// [The operation](super) on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(Flex: cfg(feature = "flex"))]
pub trait AdamOps: Backend {
    /// [`adam`](super::adam): the updated parameter, mean and square. The mean and the square are
    /// updated in place if nobody else holds their memory.
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}
