//! The operation in plain tensor operations, for one tensor: its definition, and its form without a
//! kernel.

use burn::tensor::{DType, FloatDType, Tensor};

/// The square of the norm of a tensor, `[1]`.
pub fn sum_of_squares<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    widened(tensor).square().sum()
}

/// A tensor times a factor, in its type.
pub fn scaled<const D: usize>(tensor: Tensor<D>, factor: f64) -> Tensor<D> {
    let dtype = tensor.dtype();
    let scaled = widened(tensor).mul_scalar(factor);
    if scaled.dtype() == dtype { scaled } else { scaled.cast(dtype) }
}

/// A tensor in f32, or in f64. In half precision, sums of squares overflow at a norm of 256 (f16)
/// or lose their digits (bf16).
pub fn widened<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    match tensor.dtype() {
        DType::F64 | DType::F32 => tensor,
        _ => tensor.cast(FloatDType::F32),
    }
}
