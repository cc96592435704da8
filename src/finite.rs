//! Whether numbers are finite: one read from the device.

use burn::tensor::Tensor;

/// Whether no element is NaN or infinite. A device that cannot say reports its own error where the numbers are used.
pub(crate) fn all_finite<const D: usize>(x: &Tensor<D>) -> bool {
    x.clone().inner().is_finite().all().try_into_scalar::<bool>().unwrap_or(true)
}
