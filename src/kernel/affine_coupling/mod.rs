//! A coupling of the affine law in one pass: split, law and join, and the law's log-determinant.
//! ```text
//! x = (x_kept, x_other) along axis 1       theta = (s, t)       e^ℓ(s): the scale of the form
//! forward   z_kept = x_kept,   z_other = (x_other + a·t)·e^ℓ(s) + b·t         log_det = Σ ℓ(s)
//! inverse   x_other = (z_other − b·t)·e^−ℓ(s) − a·t
//!
//! form          ℓ(s)                       ℓ′(s)                  a    b
//! Exponential   tanh s                     1 − tanh² s            0    1
//! Sigmoid       ln σ(s + 2)                1 − σ(s + 2)           1    0
//! Bounded       ln(1 + σ(s + 2)) − ln 2    σ(1 − σ)/(1 + σ)       1    0
//! Normal        −s                         −1                    −1    0
//! ```
//! The additive form has nothing to compute and stays with plain operations.
//!
//! # Backward
//! With the gradient `g` of `z` and `c` of the log-determinant:
//! ```text
//! ∂/∂x_other  g·e^ℓ        ∂/∂t  g·(a·e^ℓ + b)        ∂/∂s  (g·(x_other + a·t)·e^ℓ + c)·ℓ′(s)
//! ```
//! Two nodes, one for `z` and one for the log-determinant, since burn's have one output each. They keep `x` and
//! `theta`.
//!
//! # Reference
//! [`Affine`](crate::law::Affine) says where the forms come from.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;
pub mod reference;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, operands};
use super::{NetworkOps, serve_networks};
use crate::law::AffineForm;
use crate::tensor::half::Half;

/// `z` and the log-determinant, nats.
///
/// # Shapes
/// `x [batch, channels, positions]`, `theta [batch, params, dims]` with the `dims` numbers of the half that changes to
/// `z [batch, channels, positions]` and `[batch]`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(x: Tensor<3>, theta: Tensor<3>, form: AffineForm, kept: Half) -> (Tensor<3>, Tensor<1>) {
    check(operands!("affine_coupling", x, theta), "x", form, kept);
    if form == AffineForm::Additive || !serve_networks(&x.device(), x.dtype()) {
        return reference::forward(x, theta, form, kept);
    }
    let (x, theta) = (x.into_dispatch(), theta.into_dispatch());
    let log_det = <Dispatch as NetworkOps>::affine_log_det(theta.clone(), form);
    let z = <Dispatch as NetworkOps>::affine_coupling(x, theta, form, kept);
    (Tensor::from_dispatch(z), Tensor::from_dispatch(log_det))
}

/// The `x` that [`forward`] maps to `z`.
///
/// # Shapes
/// As [`forward`].
///
/// # Panics
/// As [`forward`].
pub fn inverse(z: Tensor<3>, theta: Tensor<3>, form: AffineForm, kept: Half) -> Tensor<3> {
    check(operands!("affine_coupling", z, theta), "z", form, kept);
    let plain = !z.is_autodiff() && !theta.is_autodiff();
    if form == AffineForm::Additive || !plain || !serve_networks(&z.device(), z.dtype()) {
        return reference::inverse(z, theta, form, kept);
    }
    let (z, theta) = (z.into_dispatch(), theta.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetworkOps>::affine_coupling_inverse(z, theta, form, kept))
}

/// Checks that the operands fit, `numbers` being `x` or `z`; the gradient of `z` where there is one.
fn check<const N: usize>(call: Operands<N>, numbers: &str, form: AffineForm, kept: Half) -> Checked {
    let [batch, channels, positions] = call.dims(numbers);
    let dims = kept.widths(channels).1 * positions;
    call.expect("theta", &[Some(batch), Some(form.n_params()), Some(dims)]);
    call.expect("gradient", &[Some(batch), Some(channels), Some(positions)]);
    call.checked()
}
