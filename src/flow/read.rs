//! Values that a flow copies to the host: likelihoods, and where elements are not finite.

use burn::tensor::Tensor;

use crate::error::FlowError;

/// Number of elements of each example that are not finite. One device-to-host copy.
pub(crate) fn non_finite_counts<const D: usize>(x: Tensor<D>) -> Result<Vec<usize>, FlowError> {
    let dims = x.dims();
    let per_example: usize = dims[1..].iter().product();
    let finite = x.inner().is_finite().int().reshape([dims[0], per_example]).sum_dim(1);
    let data = finite.try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    Ok(data.iter::<i64>().map(|n| per_example - n as usize).collect())
}

/// Number of elements that are not finite, number of all elements, and the first example with such
/// an element, or `None` if all are finite. One device-to-host copy.
pub(crate) fn non_finite<const D: usize>(
    x: Tensor<D>,
) -> Result<Option<(usize, usize, usize)>, FlowError> {
    let total: usize = x.dims().iter().product();
    let counts = non_finite_counts(x)?;
    Ok(counts.iter().position(|&n| n > 0).map(|example| (counts.iter().sum(), total, example)))
}

/// Copies values to the host.
pub(crate) fn read(values: Tensor<1>) -> Result<Vec<f64>, FlowError> {
    let data =
        values.inner().try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    Ok(data.iter::<f64>().collect())
}
