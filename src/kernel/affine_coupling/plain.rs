//! The operation in plain tensor operations: its definition, and its form without a kernel. For the
//! symbols see the parent module.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{AffineForm, check};
use crate::kernel::operands::operands;
use crate::tensor::channels::{channel, map_within};
use crate::tensor::per_example::{flatten, sum_event};
use crate::tensor::smooth::{sigmoid, softplus, tanh};

/// [`forward`](super::forward), differentiated by autodiff.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(
    x: Tensor<3>,
    theta: Tensor<3>,
    form: AffineForm,
    range: Range<usize>,
) -> (Tensor<3>, Tensor<1>) {
    check(operands!("affine_coupling", x, theta), "x", form, &range);
    map_within(x, range, |x| {
        let dims = x.dims();
        let (z, log_scale) = elementwise(flatten(x), theta, form);
        (z.reshape(dims), sum_event(log_scale))
    })
}

/// [`inverse`](super::inverse), differentiable.
///
/// # Panics
/// Those of [`inverse`](super::inverse).
pub fn inverse(z: Tensor<3>, theta: Tensor<3>, form: AffineForm, range: Range<usize>) -> Tensor<3> {
    check(operands!("affine_coupling", z, theta), "z", form, &range);
    map_within(z, range, |z| {
        let dims = z.dims();
        (elementwise_inverse(flatten(z), theta, form).reshape(dims), ())
    })
    .0
}

/// `z` and `ℓ` of each element.
///
/// # Shapes
/// `x [batch, dims]`, `theta [batch, params, dims]` to two tensors `[batch, dims]`.
pub(crate) fn elementwise(
    x: Tensor<2>,
    theta: Tensor<3>,
    form: AffineForm,
) -> (Tensor<2>, Tensor<2>) {
    let shift = channel(&theta, form.n_params() - 1);
    match log_scale(&theta, form) {
        None => {
            let log_scale = x.zeros_like();
            (x + shift, log_scale)
        }
        Some(log_scale) => {
            let scale = log_scale.clone().exp();
            let z = match form {
                AffineForm::Sigmoid | AffineForm::Bounded => (x + shift) * scale,
                AffineForm::Normal => (x - shift) * scale,
                AffineForm::Exponential | AffineForm::Additive => x * scale + shift,
            };
            (z, log_scale)
        }
    }
}

/// The `x` that [`elementwise`] maps to `z`.
pub(crate) fn elementwise_inverse(z: Tensor<2>, theta: Tensor<3>, form: AffineForm) -> Tensor<2> {
    let shift = channel(&theta, form.n_params() - 1);
    match log_scale(&theta, form) {
        None => z - shift,
        Some(log_scale) => {
            let inverse_scale = log_scale.neg().exp();
            match form {
                AffineForm::Sigmoid | AffineForm::Bounded => z * inverse_scale - shift,
                AffineForm::Normal => z * inverse_scale + shift,
                AffineForm::Exponential | AffineForm::Additive => (z - shift) * inverse_scale,
            }
        }
    }
}

/// `ℓ(s)` of each element; `None` if it is 0 for all.
fn log_scale(theta: &Tensor<3>, form: AffineForm) -> Option<Tensor<2>> {
    let s = || channel(theta, 0);
    match form {
        AffineForm::Exponential => Some(tanh(s())),
        AffineForm::Sigmoid => Some(softplus(s().add_scalar(2.0).neg()).neg()),
        // ½(1 + σ(v)) = 1 − ½σ(−v), which lies in [½, 1]. For large v its small difference from 1
        // stays accurate.
        AffineForm::Bounded => Some(sigmoid(s().add_scalar(2.0).neg()).mul_scalar(-0.5).log1p()),
        AffineForm::Normal => Some(s().neg()),
        AffineForm::Additive => None,
    }
}
