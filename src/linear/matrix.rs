//! Log-determinant and inverse of a small matrix, in float64 on the host, with their gradients on the device.
//!
//! The matrices that mix channels are small and their determinants products of many factors, so they are factored in float64 whatever
//! the tensors hold. The gradient comes from the identities `d ln|det W| = tr(W⁻¹ dW)` and `d W⁻¹ = −W⁻¹ dW W⁻¹`: the value is a constant,
//! and a term that is zero carries the differential. One read of the matrix per call; the triangular form needs none in `forward`.

use burn::tensor::{DType, Tensor, TensorData};
use nalgebra::DMatrix;

/// `W` as a float64 matrix on the host.
fn to_host(matrix: Tensor<2>) -> DMatrix<f64> {
    let [rows, columns] = matrix.dims();
    let values: Vec<f64> = matrix.inner().into_data().convert::<f64>().iter::<f64>().collect();
    DMatrix::from_row_slice(rows, columns, &values)
}

/// A float64 matrix in the type and on the device of `like`, outside the graph.
fn to_device(matrix: &DMatrix<f64>, like: &Tensor<2>) -> Tensor<2> {
    let values: Vec<f64> = matrix.row_iter().flat_map(|row| row.iter().copied().collect::<Vec<_>>()).collect();
    let data = TensorData::new(values, [matrix.nrows(), matrix.ncols()]);
    let dtype: DType = like.dtype();
    let plain = Tensor::<2>::from_data(data.convert_dtype(dtype), (&like.device().inner(), dtype));
    if like.is_autodiff() { Tensor::from_inner(plain) } else { plain }
}

/// `ln |det W|` as `[1]`: −∞ for a singular matrix.
pub(super) fn log_abs_det(matrix: Tensor<2>) -> Tensor<1> {
    let host = to_host(matrix.clone());
    let lu = host.clone().lu();
    let value: f64 = lu.u().diagonal().iter().map(|pivot| pivot.abs().ln()).sum();
    let constant = Tensor::<1>::full([1], value, (&matrix.device(), matrix.dtype()));
    match lu.try_inverse() {
        Some(inverse) if matrix.is_autodiff() => {
            let transposed = to_device(&inverse.transpose(), &matrix);
            let change = matrix.clone() - matrix.detach();
            constant + (change * transposed).sum()
        }
        _ => constant,
    }
}

/// `W⁻¹`: NaN throughout for a singular matrix, so that nothing downstream takes a guess for data.
pub(super) fn inverse(matrix: Tensor<2>) -> Tensor<2> {
    match to_host(matrix.clone()).try_inverse() {
        None => matrix.full_like(f32::NAN),
        Some(host) => {
            let inverse = to_device(&host, &matrix);
            if !matrix.is_autodiff() {
                return inverse;
            }
            let change = matrix.clone() - matrix.detach();
            inverse.clone() - inverse.clone().matmul(change).matmul(inverse)
        }
    }
}

/// Multiplies the channels of every group by that group's matrix: `z[b, g] = W[g]·x[b, g]`.
///
/// # Shapes
/// `x [batch, G·c, ...]`, `matrices [G, c, c]` to the shape of `x`.
pub(super) fn mix_channels<const D: usize>(matrices: Tensor<3>, x: Tensor<D>) -> Tensor<D> {
    let dims = x.dims();
    let [groups, channels, _] = matrices.dims();
    let positions: usize = dims[2..].iter().product();
    let columns = x.reshape([dims[0], groups, channels, positions]);
    matrices.unsqueeze::<4>().matmul(columns).reshape(dims)
}
