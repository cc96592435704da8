//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use super::check;
use crate::kernel::operands::operands;

/// [`forward`](super::forward) by burn's product.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(matrices: Tensor<3>, columns: Tensor<4>) -> Tensor<4> {
    check(operands!("exact_product", matrices, columns));
    matrices.unsqueeze::<4>().matmul(columns)
}

/// [`of_matrices`](super::of_matrices) by burn's product.
///
/// # Panics
/// Those of [`of_matrices`](super::of_matrices).
pub fn of_matrices(left: Tensor<2>, right: Tensor<2>) -> Tensor<2> {
    let ([_, inner], call) = (left.dims(), operands!("exact_product", left, right));
    call.expect("right", &[Some(inner), None]);
    left.matmul(right)
}
