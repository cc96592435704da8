//! Jacobians by autodiff, one row at a time.

use burn::tensor::Tensor;
use nalgebra::DMatrix;

use super::elements::elements;

/// `∂z/∂x` of one example: one differentiation for each element of `z`.
///
/// # Panics
/// If `x` holds several examples.
pub(super) fn jacobian<const D: usize>(
    f: impl Fn(Tensor<D>) -> Tensor<D>,
    x: &Tensor<D>,
) -> DMatrix<f64> {
    assert_eq!(x.dims()[0], 1, "a Jacobian is computed for one example at a time");
    let n: usize = x.dims().iter().product();
    let rows: Vec<f64> = (0..n)
        .flat_map(|row| {
            let leaf = x.clone().detach().require_grad();
            let z = f(leaf.clone()).reshape([n]);
            let gradients = z.narrow(0, row, 1).sum().backward();
            leaf.grad(&gradients).map_or_else(|| vec![0.0; n], |gradient| elements(&gradient))
        })
        .collect();
    DMatrix::from_row_slice(n, n, &rows)
}

/// Largest row sum of magnitudes: the largest factor by which the matrix enlarges the largest
/// element of a vector.
pub(super) fn row_sum_norm(matrix: &DMatrix<f64>) -> f64 {
    matrix.row_iter().map(|row| row.iter().map(|value| value.abs()).sum()).fold(0.0, f64::max)
}
