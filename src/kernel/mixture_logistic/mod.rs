//! The MixLogCDF law in one pass over its parameters: logistic-mixture logit, then an affine map.
//! ```text
//! theta = (a, b, ℓ_1..K, μ_1..K, s_1..K)
//! F = Σ π_k σ(u_k)     G = Σ π_k σ(−u_k)     D = Σ π_k σ(u_k) σ(−u_k) q_k     W = Σ π_k
//! forward   t = ln F − ln G       z = e^α t + b
//!           log_derivative = α + ln D + ln W − ln F − ln G
//! ```
//! # Symbols
//! The symbols mean the same in every file of this folder.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `z` | data and latents | `[batch, dims]` |
//! | `theta` | parameters | `[batch, 2 + 3K, dims]` |
//! | `a`, `b` | parameters of the affine map: scale `e^α` with `α = tanh a`, and shift | `[batch, dims]` |
//! | `ℓ_k`, `μ_k`, `s_k` | logit, mean and log-scale of a component; `s̄_k = max(s_k, s_min)` | `[batch, dims]` |
//! | `q_k` | inverse scale `e^−s̄_k` | |
//! | `u_k` | argument of a component, `(x − μ_k) q_k` | |
//! | `π_k` | weight of a component, `e^ℓ_k` up to a common factor | |
//! | `κ_k` | `π_k σ(u_k) σ(−u_k)` | |
//! | `F`, `G`, `D`, `W` | the sums above | |
//! | `f_k`, `g_k`, `d_k`, `w_k` | the shares of a component in these sums, between 0 and 1 | |
//! | `t` | logit of the mixture's cumulative distribution function | `[batch, dims]` |
//! | `γ_z`, `γ_L`, `γ_t` | gradients of `z`, of the log-derivative and of `t` | `[batch, dims]` |
//! | `h_k` | gradient of `u_k` | |
//!
//! # Backward
//! With `γ_t = e^α γ_z`:
//! ```text
//! ∂/∂ℓ_k   γ_t (f_k − g_k) + γ_L (d_k + w_k − f_k − g_k)
//! ∂/∂u_k   γ_t (f_k σ(−u_k) + g_k σ(u_k))
//!          + γ_L (d_k (σ(−u_k) − σ(u_k)) − f_k σ(−u_k) + g_k σ(u_k))     =: h_k
//! ∂/∂μ_k   −q_k h_k        ∂/∂s_k   −u_k h_k − γ_L d_k, or 0 below s_min
//! ∂/∂x     Σ q_k h_k       ∂/∂b     γ_z        ∂/∂a   (γ_t t + γ_L)(1 − α²)
//! ```
//! Shares are between 0 and 1, so nothing overflows. The graph keeps `x` and `theta`, from which
//! the backward pass recomputes everything.
//!
//! # Inverse
//! The bracket and the steps of [`LogisticMixture`]. Each element is iterated separately until its
//! residual is at rounding level, or its bracket has shrunk to adjacent floating-point numbers. A
//! root beyond a quarter of the largest finite number is left unsolved. Its gradient is that of
//! [`forward`] at the solution, by the implicit function theorem.
//!
//! # Cost
//! `O(batch·K·dims)`; memory: inputs and outputs.
//!
//! # Reference
//! Ho et al. 2019 §3.2.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "_gpu")]
pub(super) mod cube;
#[cfg(feature = "flex")]
mod flex;
mod logistic_mixture;
mod node;
pub mod plain;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, operands};

use super::served::{FLOATS_AND_HALVES, Served};
pub use crate::tensor::root::Solution;
use crate::tensor::root::implicit;
pub use logistic_mixture::LogisticMixture;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS_AND_HALVES, gpu: FLOATS_AND_HALVES };

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
pub trait MixtureLogisticOps: Backend {
    /// [`forward`] maps `x [batch, dims]` and `theta [batch, 2 + 3K, dims]` to
    /// `z` and the log-derivative, `[2, batch, dims]`.
    #[fusion(dtype = x, shape = stacked(2, x))]
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self>;

    /// [`solve`] maps `z [batch, dims]` to `x`, the residual, and 1 where it is
    /// solved or 0 where not, `[3, batch, dims]`.
    #[fusion(dtype = z, shape = stacked(3, z))]
    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`MixtureLogisticOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait MixtureLogisticGradient: Backend {
    /// Gradients of `x` and `theta` from those of both outputs, `gradient [2, batch, dims]`.
    #[fusion(meta = |x, theta, _gradient, _min_log_scale| (x.clone(), theta.clone()))]
    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The shape of `n` stacked tensors.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn stacked(n: usize, shape: &Shape) -> Shape {
    let mut dims = vec![n];
    dims.extend(shape.iter());
    dims.into()
}

/// `K` of `2 + 3K` parameters.
pub(crate) fn n_components(n_params: usize) -> usize {
    (n_params - 2) / 3
}

/// `z` and the log-derivative, nats.
///
/// # Shapes
/// `x [batch, dims]`, `theta [batch, 2 + 3K, dims]` to two tensors `[batch, dims]`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(x: Tensor<2>, theta: Tensor<3>, min_log_scale: f64) -> (Tensor<2>, Tensor<2>) {
    check(operands!("mixture_logistic", x, theta), "x");
    if !SERVED.serves(&x) {
        return plain::forward(x, theta, min_log_scale);
    }
    let (x, theta) = (x.into_dispatch(), theta.into_dispatch());
    let output = Tensor::<3>::from_dispatch(<Dispatch as MixtureLogisticOps>::mixture_logistic(
        x,
        theta,
        min_log_scale,
    ));
    (part(&output, 0), part(&output, 1))
}

/// The `x` that [`forward`] maps to `z`, differentiable in `z` and `theta`. Elements without a
/// solution in this precision are NaN.
///
/// # Shapes
/// `z [batch, dims]`, `theta [batch, 2 + 3K, dims]` to `[batch, dims]`.
///
/// # Panics
/// Those of [`forward`].
pub fn inverse(z: Tensor<2>, theta: Tensor<3>, min_log_scale: f64) -> Tensor<2> {
    let solution = solve(z.clone(), theta.clone(), min_log_scale);
    let x = solution.x.mask_fill(solution.solved.bool_not(), f32::NAN);
    if !z.is_autodiff() && !theta.is_autodiff() {
        return x;
    }
    let (reached, log_derivative) = forward(x.clone(), theta, min_log_scale);
    implicit(x, z, reached, log_derivative)
}

/// [`inverse`] without a graph, with the residual `t(x) − t` of each element and whether it is
/// solved.
///
/// # Shapes
/// `z [batch, dims]`, `theta [batch, 2 + 3K, dims]` to `[batch, dims]` each.
///
/// # Panics
/// Those of [`forward`].
pub fn solve(z: Tensor<2>, theta: Tensor<3>, min_log_scale: f64) -> Solution {
    check(operands!("mixture_logistic", z, theta), "z");
    let (z, theta) = (z.inner(), theta.inner());
    if !SERVED.serves(&z) {
        return plain::solve(z, theta, min_log_scale);
    }
    let (z, theta) = (z.into_dispatch(), theta.into_dispatch());
    let output = Tensor::<3>::from_dispatch(
        <Dispatch as MixtureLogisticOps>::mixture_logistic_inverse(z, theta, min_log_scale),
    );
    Solution {
        x: part(&output, 0),
        residual: part(&output, 1),
        solved: part(&output, 2).greater_elem(0.5),
    }
}

/// Checks that the operands fit. `elements` is the name of `x` or `z`. The gradient of both outputs
/// is checked if there is one.
fn check<const N: usize>(call: Operands<N>, elements: &str) -> Checked {
    let [batch, dims] = call.dims(elements);
    let [_, n_params, _] = call.dims("theta");
    call.expect("theta", &[Some(batch), None, Some(dims)]);
    let whole = n_params >= 5 && (n_params - 2).is_multiple_of(3);
    call.require("theta", whole, "of 2 + 3K parameters, K at least 1");
    call.expect("gradient", &[Some(2), Some(batch), Some(dims)]);
    call.checked()
}

/// One of the stacked outputs.
fn part(output: &Tensor<3>, index: usize) -> Tensor<2> {
    output.clone().narrow(0, index, 1).squeeze_dim::<2>(0)
}
