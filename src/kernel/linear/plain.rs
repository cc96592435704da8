//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::check;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::operands::operands;

/// [`forward`](super::forward) in plain tensor operations.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, epilogue: Epilogue) -> Tensor<2> {
    check(operands!("linear", x, weight, bias));
    let y = x.matmul(weight) + bias.unsqueeze::<2>();
    if epilogue == Epilogue::Relu { relu(y) } else { y }
}
