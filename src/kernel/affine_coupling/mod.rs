//! The affine law on a range of channels, in one pass. The other channels are copied, and the
//! log-determinant is that of the whole map.
//! ```text
//! forward   z = (x + a·t)·e^ℓ(s) + b·t      on the channels of the range, z = x on the others
//! inverse   x = (z − b·t)·e^−ℓ(s) − a·t     log_det = Σ ℓ(s)
//!
//! form          ℓ(s)                       ℓ′(s)                  a    b
//! Exponential   tanh s                     1 − tanh² s            0    1
//! Sigmoid       ln σ(s + 2)                1 − σ(s + 2)           1    0
//! Bounded       ln(1 + σ(s + 2)) − ln 2    σ(1 − σ)/(1 + σ)       1    0
//! Normal        −s                         −1                    −1    0
//! ```
//! The additive form needs no kernel and uses plain operations.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `z` | data and latents | `[batch, channels, positions]` |
//! | `theta` | `(s, t)`: parameter of the scale, and shift | `[batch, 2, dims]`, `dims = range·positions` |
//! | `e^ℓ(s)` | scale | |
//! | `a`, `b` | multiples of the shift before and after the scale | |
//! | `g`, `c` | gradients of `z` and of the log-determinant | as `z`; `[batch]` |
//!
//! # Backward
//! With the gradient `g` of `z` and `c` of the log-determinant:
//! ```text
//! ∂/∂x  g·e^ℓ        ∂/∂t  g·(a·e^ℓ + b)        ∂/∂s  (g·(x + a·t)·e^ℓ + c)·ℓ′(s)
//! ```
//! There are two nodes, one for `z` and one for the log-determinant, since a node of burn has one
//! output. The first keeps `x` and `theta`, the second `theta`.
//!
//! # Reference
//! `Exponential` is the affine coupling of the Flow++ ablation (Ho et al. 2019, §4.3); `Sigmoid` is
//! that of the released code of Glow (Kingma & Dhariwal 2018); `Bounded` follows Behrmann et al.
//! 2021.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod form;
mod node;
pub mod plain;

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, operands};

use super::served::{FLOATS, FLOATS_AND_HALVES, Served};
pub use form::AffineForm;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
    Autodiff,
)]
pub trait AffineCouplingOps: Backend {
    /// The law on the channels in `range`: `x [B, C, P]`,
    /// `theta [B, 2, dims]` to `z [B, C, P]`. Not for the additive form, here and below.
    #[fusion(dtype = x, shape = x)]
    fn affine_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self>;

    /// `z [B, C, P]` to `x`.
    #[fusion(dtype = z, shape = z)]
    fn affine_coupling_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self>;

    /// Log-determinant `[B]` of `theta [B, 2, dims]`.
    #[fusion(dtype = theta, shape = examples(theta))]
    fn affine_log_det(theta: FloatTensor<Self>, form: AffineForm) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`AffineCouplingOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait AffineCouplingGradient: Backend {
    /// Gradients of `x` and `theta` from that of `z`.
    #[fusion(meta = |x, theta, _gradient, _form, _range| (x.clone(), theta.clone()))]
    fn affine_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradient of `theta`.
    #[fusion(dtype = theta, shape = theta)]
    fn affine_log_det_backward(
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
    ) -> FloatTensor<Self>;
}

/// The shape of one number an example.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn examples(theta: &Shape) -> Shape {
    [theta[0]].into()
}

/// `z` and the log-determinant, nats.
///
/// # Shapes
/// `x [batch, channels, positions]`, `theta [batch, params, dims]` with `dims = range·positions`,
/// to `z [batch, channels, positions]` and `[batch]`. The law transforms the channels in `range`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(
    x: Tensor<3>,
    theta: Tensor<3>,
    form: AffineForm,
    range: Range<usize>,
) -> (Tensor<3>, Tensor<1>) {
    check(operands!("affine_coupling", x, theta), "x", form, &range);
    if form == AffineForm::Additive || !SERVED.serves(&x) {
        return plain::forward(x, theta, form, range);
    }
    let (x, theta) = (x.into_dispatch(), theta.into_dispatch());
    let log_det = <Dispatch as AffineCouplingOps>::affine_log_det(theta.clone(), form);
    let z = <Dispatch as AffineCouplingOps>::affine_coupling(x, theta, form, range);
    (Tensor::from_dispatch(z), Tensor::from_dispatch(log_det))
}

/// The `x` that [`forward`] maps to `z`.
///
/// # Shapes
/// Those of [`forward`].
///
/// # Panics
/// Those of [`forward`].
pub fn inverse(z: Tensor<3>, theta: Tensor<3>, form: AffineForm, range: Range<usize>) -> Tensor<3> {
    check(operands!("affine_coupling", z, theta), "z", form, &range);
    let plain = !z.is_autodiff() && !theta.is_autodiff();
    if form == AffineForm::Additive || !plain || !SERVED.serves(&z) {
        return plain::inverse(z, theta, form, range);
    }
    let (z, theta) = (z.into_dispatch(), theta.into_dispatch());
    Tensor::from_dispatch(<Dispatch as AffineCouplingOps>::affine_coupling_inverse(
        z, theta, form, range,
    ))
}

/// Checks that the operands fit. `elements` is the name of `x` or `z`. The gradient of `z` is
/// checked if there is one.
fn check<const N: usize>(
    call: Operands<N>,
    elements: &str,
    form: AffineForm,
    range: &Range<usize>,
) -> Checked {
    let [batch, channels, positions] = call.dims(elements);
    let within = range.start <= range.end && range.end <= channels;
    call.require(elements, within, &format!("of at least {} channels", range.end));
    let dims = range.len() * positions;
    call.expect("theta", &[Some(batch), Some(form.n_params()), Some(dims)]);
    call.expect("gradient", &[Some(batch), Some(channels), Some(positions)]);
    call.checked()
}

/// # Panics
/// For the additive form, which needs no kernel.
#[cfg(any(feature = "flex", feature = "_gpu"))]
fn has_kernel(form: AffineForm) {
    assert!(form != AffineForm::Additive, "affine_coupling: the additive form has no kernel");
}

/// Checks that `theta` has the parameters of the form, and that the gradient of the
/// log-determinant, if there is one, has the shape `[batch]`.
#[cfg(any(feature = "flex", feature = "_gpu"))]
fn check_log_det<const N: usize>(call: Operands<N>, form: AffineForm) -> Checked {
    has_kernel(form);
    let [batch, _, dims] = call.dims("theta");
    call.expect("theta", &[Some(batch), Some(form.n_params()), Some(dims)]);
    call.expect("gradient", &[Some(batch)]);
    call.checked()
}
