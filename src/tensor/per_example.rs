//! Sums over each example, over all axes but the batch, and means over examples.

use burn::tensor::{Tensor, TensorData};

use super::graph::constant;

/// Sum over all axes but the first, such as elementwise log-derivatives to a log-determinant.
///
/// # Shapes
/// `[batch, ...]` to `[batch]`.
pub fn sum_event<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let dims = x.dims();
    let batch = dims[0];
    let event = dims.iter().skip(1).product::<usize>();
    x.reshape([batch, event]).sum_dim(1).squeeze_dim::<1>(1)
}

/// The log-determinant of scales that are the same for every example: `weight·Σ log_scale`. The
/// weight is the number of positions that a scale multiplies, times the factor of the log-scales.
///
/// # Shapes
/// Any, to `[batch]`.
pub fn log_det_of_scales<const D: usize>(
    log_scale: Tensor<D>,
    weight: f64,
    batch: usize,
) -> Tensor<1> {
    let n = log_scale.shape().num_elements();
    // burn joins a sum along an axis to its neighbours, but no sum of all elements, and a product
    // before the sum to other uses of the log-scales.
    let log_scale = if weight == 1.0 { log_scale } else { log_scale.mul_scalar(weight) };
    log_scale.reshape([1, n]).sum_dim(1).squeeze_dim::<1>(1).expand([batch])
}

/// The log-determinant of a volume-preserving map: 0 for each example, on the device and in the
/// type of `x`.
///
/// # Shapes
/// `[batch, ...]` to `[batch]`.
pub fn zero_log_det<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    Tensor::zeros([x.dims()[0]], (&x.device(), x.dtype()))
}

/// Mean of one value for each example, or the mean of `w_i v_i` with weights.
///
/// # Shapes
/// `[batch]` to `[1]`.
pub(crate) fn weighted_mean(values: Tensor<1>, weights: Option<&[f64]>) -> Tensor<1> {
    let Some(weights) = weights else { return values.mean() };
    let (device, dtype) = (values.device(), values.dtype());
    let data = TensorData::new(weights.to_vec(), [weights.len()]);
    let weights = Tensor::from_data(data, (&device.clone().without_autodiff(), dtype));
    let weights = if values.is_autodiff() { constant(weights, &device) } else { weights };
    (values * weights).mean()
}

/// All elements of an example in one row, the layout that laws take.
///
/// # Shapes
/// `[batch, ...]` to `[batch, dims]`.
pub(crate) fn flatten<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let dims = x.dims();
    x.reshape([dims[0], dims[1..].iter().product()])
}
