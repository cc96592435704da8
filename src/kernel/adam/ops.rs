//! What a backend implements.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;

use super::rates::Rates;
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
pub trait AdamOps: Backend {
    /// [`adam`](super::adam): the updated parameter, mean and square. The mean and the square are
    /// updated in place if nobody else holds their memory.
    #[fusion(meta = updated)]
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`AdamOps::adam`] for several parameters of one type: the updated parameters, means and
    /// squares, in few launches. The lists are of the same length, at least 1.
    #[fusion(meta = all_updated)]
    fn adam_all(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] means: Tensors<Self>,
        #[extension_type] squares: Tensors<Self>,
        rates: Rates,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        let gradients = gradients.0.into_iter();
        let states = means.0.into_iter().zip(squares.0);
        let mut updated = (Vec::new(), Vec::new(), Vec::new());
        for ((parameter, gradient), (mean, square)) in
            parameters.0.into_iter().zip(gradients).zip(states)
        {
            let (parameter, mean, square) = Self::adam(parameter, gradient, mean, square, rates);
            updated.0.push(parameter);
            updated.1.push(mean);
            updated.2.push(square);
        }
        (Tensors(updated.0), Tensors(updated.1), Tensors(updated.2))
    }
}

#[cfg(feature = "_gpu")]
fn updated(
    parameter: &TensorSpec,
    _gradient: &TensorSpec,
    mean: &TensorSpec,
    square: &TensorSpec,
    _rates: &Rates,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    (parameter.clone(), mean.clone(), square.clone())
}

#[cfg(feature = "_gpu")]
fn all_updated(
    parameters: &[TensorSpec],
    _gradients: &[TensorSpec],
    means: &[TensorSpec],
    squares: &[TensorSpec],
    _rates: &Rates,
) -> (Vec<TensorSpec>, Vec<TensorSpec>, Vec<TensorSpec>) {
    (parameters.to_vec(), means.to_vec(), squares.to_vec())
}
