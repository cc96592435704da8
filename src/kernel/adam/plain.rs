//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use super::rates::Rates;
use crate::kernel::operands::operands;

/// [`update`](super::update) in plain tensor operations.
///
/// # Panics
/// If shapes or types differ.
pub fn update<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    mean: Tensor<D>,
    square: Tensor<D>,
    rates: Rates,
) -> [Tensor<D>; 3] {
    operands!("adam", parameter, gradient, mean, square).alike();
    let Rates { beta_1, beta_2, rate, epsilon } = rates;
    let mean = mean.mul_scalar(beta_1) + gradient.clone().mul_scalar(1.0 - beta_1);
    let square = square.mul_scalar(beta_2) + gradient.square().mul_scalar(1.0 - beta_2);
    let change = mean.clone().mul_scalar(rate) / square.clone().sqrt().add_scalar(epsilon);
    [parameter - change, mean, square]
}
