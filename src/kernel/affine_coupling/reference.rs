//! The operation in plain tensor operations: its definition.

use burn::tensor::Tensor;

use super::check;
use crate::kernel::operands::operands;
use crate::law::{Affine, AffineConfig, AffineForm, forward_half, inverse_half};
use crate::tensor::half::Half;

fn law(form: AffineForm) -> Affine {
    AffineConfig::new(form).init()
}

/// [`forward`](super::forward) by automatic differentiation.
///
/// # Panics
/// As [`forward`](super::forward).
pub fn forward(x: Tensor<3>, theta: Tensor<3>, form: AffineForm, kept: Half) -> (Tensor<3>, Tensor<1>) {
    check(operands!("affine_coupling", x, theta), "x", form, kept);
    forward_half(&law(form), x, theta, kept)
}

/// [`inverse`](super::inverse), differentiable.
///
/// # Panics
/// As [`inverse`](super::inverse).
pub fn inverse(z: Tensor<3>, theta: Tensor<3>, form: AffineForm, kept: Half) -> Tensor<3> {
    check(operands!("affine_coupling", z, theta), "z", form, kept);
    inverse_half(&law(form), z, theta, kept)
}
