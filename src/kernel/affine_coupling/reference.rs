//! The operation in plain tensor operations: its definition.

use burn::tensor::Tensor;

use crate::coupling::Half;
use crate::law::{Affine, AffineConfig, AffineForm, forward_half, inverse_half};

fn law(form: AffineForm) -> Affine {
    AffineConfig::new(form).init()
}

/// [`forward`](super::forward) by automatic differentiation.
pub fn forward(x: Tensor<3>, theta: Tensor<3>, form: AffineForm, kept: Half) -> (Tensor<3>, Tensor<1>) {
    forward_half(&law(form), x, theta, kept)
}

/// [`inverse`](super::inverse), differentiable.
pub fn inverse(z: Tensor<3>, theta: Tensor<3>, form: AffineForm, kept: Half) -> Tensor<3> {
    inverse_half(&law(form), z, theta, kept)
}
