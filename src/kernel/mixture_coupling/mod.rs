//! The mixture law on a range of channels, in one pass. The other channels are copied, and the
//! log-determinant is that of the whole map.
//! ```text
//! z = e^α·logit F(x) + β    on the channels of the range, z = x on the others
//! log_det = Σ ln dz/dx      over the elements of the range
//! ```
//! `α`, `β` and the mixture's distribution function `F` are those of
//! [`mixture_logistic`](super::mixture_logistic), whose
//! kernels compute one element.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `z` | data and latents | `[batch, channels, positions]` |
//! | `theta` | parameters of [`mixture_logistic`](super::mixture_logistic) | `[batch, 2 + 3K, dims]`, `dims = range·positions` |
//!
//! By plain operations a coupling cuts `x` in two and joins the halves again, and so does its
//! backward pass with the gradients of `z` and of the log-determinant: some ten launches a coupling
//! on a GPU. On the CPU the law's own time is all that counts.
//!
//! # Backward
//! A node of burn has one output, so `z` and the log-determinants are one row of numbers, which is
//! cut behind the node. The graph keeps `x` and `theta`.

#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "_gpu")]
mod node;
pub mod plain;

use std::ops::Range;

#[cfg(feature = "_gpu")]
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "_gpu")]
use burn::backend::{Backend, Dispatch, backend_extension};
#[cfg(feature = "_gpu")]
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS_AND_HALVES, NONE, Served};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: NONE, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait MixtureCouplingOps: Backend {
    /// `x [B, C, P]` and `theta [B, 2 + 3K, dims]` to `z` and the log-determinants in one row,
    /// `[B·C·P + B]`.
    #[fusion(dtype = x, shape = row(x))]
    fn mixture_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        range: Range<usize>,
        min_log_scale: f64,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on tensors of
/// the backend below autodiff.
///
/// # Panics
/// As in [`MixtureCouplingOps`].
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion)]
pub trait MixtureCouplingGradient: Backend {
    /// Gradients of `x` and `theta` from that of the row.
    #[fusion(meta = |x, theta, _gradient, _range, _min_log_scale| (x.clone(), theta.clone()))]
    fn mixture_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        range: Range<usize>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The shape of `z` and the log-determinants in one row.
#[cfg(feature = "_gpu")]
fn row(x: &Shape) -> Shape {
    [x.num_elements() + x[0]].into()
}

/// `z` and the log-determinant, nats.
///
/// # Shapes
/// `x [batch, channels, positions]`, `theta [batch, 2 + 3K, dims]` with `dims = range·positions`,
/// to `z [batch, channels, positions]` and `[batch]`. The law transforms the channels in `range`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(
    x: Tensor<3>,
    theta: Tensor<3>,
    range: Range<usize>,
    min_log_scale: f64,
) -> (Tensor<3>, Tensor<1>) {
    check(operands!("mixture_coupling", x, theta), &range);
    #[cfg(feature = "_gpu")]
    if SERVED.serves(&x) {
        let dims = x.dims();
        let (x, theta) = (x.into_dispatch(), theta.into_dispatch());
        let row =
            <Dispatch as MixtureCouplingOps>::mixture_coupling(x, theta, range, min_log_scale);
        let row = Tensor::<1>::from_dispatch(row);
        let elements = dims.iter().product();
        // Not by `narrow`, which refuses to take no element: a batch may be empty.
        let z = row.clone().slice_dim(0, 0..elements).reshape(dims);
        return (z, row.slice_dim(0, elements..elements + dims[0]));
    }
    plain::forward(x, theta, range, min_log_scale)
}

/// Checks that the operands fit. The gradient of the row is checked if there is one.
fn check<const N: usize>(call: Operands<N>, range: &Range<usize>) -> Checked {
    let [batch, channels, positions] = call.dims("x");
    let within = range.start <= range.end && range.end <= channels;
    call.require("x", within, &format!("of at least {} channels", range.end));
    let [_, n_params, _] = call.dims("theta");
    call.expect("theta", &[Some(batch), None, Some(range.len() * positions)]);
    let whole = n_params >= 5 && (n_params - 2).is_multiple_of(3);
    call.require("theta", whole, "of 2 + 3K parameters, K at least 1");
    call.expect("gradient", &exactly([batch * channels * positions + batch]));
    call.checked()
}
