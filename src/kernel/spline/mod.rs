//! Monotone rational-quadratic splines on [−B, B], the identity outside or a circle, in one pass
//! over their parameters.
//! ```text
//! theta = (a_0..K−1, b_0..K−1, c_1..K−1)     bins 0..K−1, knots 0..K
//! w = 2B·(w_min + (1 − K·w_min)·softmax a)   widths of the bins, sum 2B; knots x_0 = −B .. x_K = B
//! h = 2B·(h_min + (1 − K·h_min)·softmax b)   heights, sum 2B; knots y_0 = −B .. y_K = B
//! d = d_min + ln(1 + exp(c + c₀))            slopes at the knots; c₀ is such that d = 1 at c = 0
//! d_0 = d_K = 1, or on a circle theta = (a, b, c_0..K−1) and d_K = d_0
//! in bin k, with s = h_k/w_k, ξ = (x − x_k)/w_k, ξ' = 1 − ξ; from here on d = d_k, e = d_k+1:
//! forward   z = y_k + h_k·p/q       p = s ξ² + d ξξ'      q = s(ξ² + ξ'²) + (d + e) ξξ'
//! log_derivative   2 ln s + ln u − 2 ln q                 u = e ξ² + 2s ξξ' + d ξ'²
//! inverse   η = (z − y_k)/h_k, η' = 1 − η, r = d η' − e η, t = √(r² + 4s² ηη')
//!           ξ = 2s η/(t + r + 2s η) if r ≥ 0,   (t − r)/(t − r + 2s η') if r < 0
//! ```
//! [`RationalQuadraticSpline`](crate::law::RationalQuadraticSpline) says why these formulas lose no
//! digits. Every form measures positions within a bin by the difference of its knots after
//! rounding. Elements at or beyond ±B pass unchanged, and so does NaN. On a circle
//! ([`SplineEnds::Circular`]), −B is the first point of the first bin.
//!
//! # Symbols
//! The symbols mean the same in every file of this folder.
//!
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `z` | data and latents | `[batch, dims]` |
//! | `theta` | `a`, `b`, `c`: logits of widths and heights, parameters of slopes | `[batch, n, dims]`, `n = 3K − 1` or `3K` on a circle |
//! | `K`, `B` | number of bins, and bound | |
//! | `w_k`, `h_k` | width and height of a bin | |
//! | `x_k`, `y_k` | left and lower end of a bin: a knot | |
//! | `s` | `h_k/w_k`, the slope of the bin's diagonal | |
//! | `d`, `e` | slopes at the left and right knot | |
//! | `ξ`, `η` | position of `x` and `z` in the bin, between 0 and 1; `ξ' = 1 − ξ`, `η' = 1 − η` | |
//! | `p`, `q`, `u` | the sums above, of positive terms | |
//! | `π_i` | softmax of the logits of one axis; `π_<`, `π_>` its sums over the bins before and after `k` | |
//! | `γ_z`, `γ_L`, `γ_v` | gradients of `z`, of the log-derivative and of any other `v` | |
//! | `λ`, `ρ` | gradients of the left and of the right knot of the bin, on one axis | |
//!
//! # Backward
//! Which bin an element falls into is constant to the gradient. Within the bin:
//! ```text
//! γ_ξ = γ_z h s u/q² + γ_L (2(e ξ − d ξ' + s(ξ' − ξ))/u − 2(ξ' − ξ)(d + e − 2s)/q)
//! γ_s = γ_z h ξξ'(e ξ² − d ξ'²)/q² + 2 γ_L ξξ'(1/u + (d + e)/(s q))
//! γ_d = γ_z h ξξ'(s ξ'² + e ξξ')/q² + γ_L (ξ'²/u − 2ξξ'/q)        ∂/∂c  γ_d σ(c + c₀)
//! γ_e = −γ_z h ξξ' p/q²             + γ_L (ξ²/u − 2ξξ'/q)
//! ∂/∂x  γ_ξ/w
//! ```
//! The sizes are differences of knots, so the gradients of the two knots are all that is left.
//! With `1 − p/q = (s ξ'² + e ξξ')/q`:
//! ```text
//! λ_x = (−γ_ξ ξ' + γ_s s)/w      λ_y = γ_z (1 − p/q) − γ_s/w
//! ρ_x = (−γ_ξ ξ  − γ_s s)/w      ρ_y = γ_z p/q + γ_s/w
//! ```
//! A knot is a running sum of shares, `x_k = −B + 2B Σ_i<k (w_min + (1 − K w_min) π_i)`, and
//! `∂π_i/∂a_j = π_i([i = j] − π_j)`. So with `C = 2B(1 − K w_min)`, and for `b` alike:
//! ```text
//! ∂/∂a_j   C π_j (λ (π_k + π_>) + ρ π_>)      for j < k
//!          C π_j (ρ π_> − λ π_<)              for j = k
//!         −C π_j (λ π_< + ρ (π_< + π_k))      for j > k
//! ```
//! The graph keeps `x` and `theta`, from which the backward pass recomputes everything.
//!
//! The inverse has no backward pass of its own. Its gradient is that of [`forward`] at the
//! solution, by the implicit function theorem.
//!
//! # Cost
//! `O(batch·K·dims)`; memory of the kernels: inputs and outputs. That of the CPU computes in
//! float64: a knot is a sum of shares, and a position a difference of knots.
//!
//! # Reference
//! Durkan et al. 2019, §3; the circle: Rezende et al. 2020, §3.1.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod node;
pub mod plain;
mod shape;

use burn::backend::Dispatch;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS_AND_HALVES, Served};

pub use shape::{SplineEnds, SplineShape};

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
pub trait SplineOps: Backend {
    /// [`forward`] maps `x [batch, dims]` and `theta [batch, n, dims]` to `z`
    /// and the log-derivative, `[2, batch, dims]`.
    #[fusion(dtype = x, shape = both(x))]
    fn spline(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self>;

    /// [`inverse`] maps `z [batch, dims]` to `x [batch, dims]`. It is a constant of
    /// the graph.
    #[fusion(dtype = z, shape = z)]
    fn spline_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`SplineOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait SplineGradient: Backend {
    /// Gradients of `x` and `theta` from those of both outputs, `gradient [2, batch, dims]`.
    #[fusion(meta = |x, theta, _gradient, _spline| (x.clone(), theta.clone()))]
    fn spline_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        spline: SplineShape,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The shape of both outputs.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn both(x: &Shape) -> Shape {
    [2, x[0], x[1]].into()
}

/// `z` and the log-derivative, nats.
///
/// # Shapes
/// `x [batch, dims]`, `theta [batch, n, dims]` to two tensors `[batch, dims]`.
///
/// # Panics
/// If shapes or types do not match.
pub fn forward(x: Tensor<2>, theta: Tensor<3>, spline: SplineShape) -> (Tensor<2>, Tensor<2>) {
    check(operands!("spline", x, theta), "x", spline);
    if SERVED.serves(&x) {
        let (x, theta) = (x.into_dispatch(), theta.into_dispatch());
        let output = <Dispatch as SplineOps>::spline(x, theta, spline);
        let output = Tensor::<3>::from_dispatch(output);
        let part = |index: usize| output.clone().narrow(0, index, 1).squeeze_dim::<2>(0);
        return (part(0), part(1));
    }
    plain::forward(x, theta, spline)
}

/// The `x` that [`forward`] maps to `z`, differentiable in `z` and `theta`.
///
/// # Shapes
/// `z [batch, dims]`, `theta [batch, n, dims]` to `[batch, dims]`.
///
/// # Panics
/// Those of [`forward`].
pub fn inverse(z: Tensor<2>, theta: Tensor<3>, spline: SplineShape) -> Tensor<2> {
    check(operands!("spline", z, theta), "z", spline);
    if SERVED.serves(&z) {
        let x = solution(z.clone(), theta.clone(), spline);
        let graph = z.is_autodiff() || theta.is_autodiff();
        return if graph { implicit(x, z, theta, spline) } else { x };
    }
    plain::inverse(z, theta, spline)
}

/// [`inverse`] by the kernel, without a graph.
fn solution(z: Tensor<2>, theta: Tensor<3>, spline: SplineShape) -> Tensor<2> {
    let (z, theta) = (z.inner().into_dispatch(), theta.inner().into_dispatch());
    Tensor::from_dispatch(<Dispatch as SplineOps>::spline_inverse(z, theta, spline))
}

/// Attaches the gradient of the inverse to its values: `dx = (dz − ∂z/∂theta·dtheta)/(∂z/∂x)`.
/// Outside, the inverse is `z` itself, even where that is infinite.
fn implicit(x: Tensor<2>, z: Tensor<2>, theta: Tensor<3>, spline: SplineShape) -> Tensor<2> {
    let (reached, log_derivative) = forward(x.clone(), theta, spline);
    let residual = z.clone() - reached;
    let nothing = residual.clone() - residual.detach();
    let x = x + nothing * log_derivative.detach().neg().exp();
    let outside = spline.outside(&z);
    x.mask_where(outside, z)
}

/// Checks that the operands fit. `elements` is the name of `x` or `z`. The gradient of both outputs
/// is checked if there is one.
fn check<const N: usize>(call: Operands<N>, elements: &str, spline: SplineShape) -> Checked {
    let [batch, dims] = call.dims(elements);
    assert!(spline.n_bins >= 2, "spline: expected at least 2 bins, found {}", spline.n_bins);
    call.expect("theta", &exactly([batch, spline.n_params(), dims]));
    call.expect("gradient", &exactly([2, batch, dims]));
    call.checked()
}
