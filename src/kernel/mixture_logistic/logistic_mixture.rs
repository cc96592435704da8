//! Logistic-mixture law: the logit of the cumulative distribution function of a mixture of
//! logistics.
//! ```text
//! F = Σ π_k σ(u_k)     G = Σ π_k σ(−u_k)     π = softmax(ℓ)
//! forward   t = ln F − ln G
//! inverse   the x in [min_k (μ_k + t/q_k), max_k (μ_k + t/q_k)] with t(x) = t
//! log_derivative   ln( Σ_k f_k σ(−u_k) q_k + Σ_k g_k σ(u_k) q_k )
//!                  f = softmax_k(ℓ_k + ln σ(u_k)),  g = softmax_k(ℓ_k + ln σ(−u_k))
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `ℓ` | unnormalised log-weights | `[batch, K, dims]` |
//! | `μ` | means | `[batch, K, dims]` |
//! | `s` | log-scales, not clamped here: `q_k = e^−s_k` | `[batch, K, dims]` |
//!
//! All other symbols are those of the operation: see the parent module.
//!
//! # Numerics
//! All values stay in log space, so nothing saturates: `G = 1 − F` is summed from `σ(−u_k)`, not
//! subtracted. The derivative is a sum of positive terms, `F′/F + F′/(1 − F)` with the common
//! factors divided out, so nothing cancels. Each weight is first computed relative to the largest
//! one, which keeps it accurate where `|u|` is large. `e^−s` is applied as `e^{−s/2}` twice, so
//! `u`, and `u` times a gradient, do not overflow unless their exact values do: in f32 for
//! `|s| < 174`.
//!
//! Gradients are accurate too. The derivative of `ln σ(u)` is `σ(−u)` on both sides of a mask,
//! never a difference of values near 1/2. Autodiff therefore sums the shares of the components,
//! which are of the size of the result, unless the result itself is a difference.
//!
//! The bracket of the inverse is exact: `F` is an average of the `σ(u_k)` and the logit increases,
//! so `t` lies between the smallest and the largest `u_k`; at the lower end every `u_k ≤ t`, at the
//! upper end every `u_k ≥ t`. The search is that of [`root`](crate::tensor::root). An end of the
//! bracket that overflows is set to a quarter of the largest finite number; roots beyond it are
//! left unsolved.
//!
//! # Reference
//! Ho et al. 2019 §3.2. Difference: the paper's code computes `F` and its logit in linear space,
//! which is infinite in f32 from `t ≈ 17` on, and bisects on `F`.

use burn::tensor::Tensor;

use crate::tensor::float_limits::machine_epsilon;
use crate::tensor::root::{Search, Solution, farthest, implicit};
use crate::tensor::smooth::softplus;

/// Parameters of a logistic mixture for each element.
#[derive(Debug, Clone)]
pub struct LogisticMixture {
    /// Unnormalised log-weights, `[batch, K, dims]`.
    pub logits: Tensor<3>,
    /// Means, `[batch, K, dims]`.
    pub means: Tensor<3>,
    /// Log-scales, `[batch, K, dims]`.
    pub log_scales: Tensor<3>,
}

impl LogisticMixture {
    /// `t` and `ln ∂t/∂x` at `x`.
    ///
    /// # Shapes
    /// `[batch, dims]` to two tensors `[batch, dims]`.
    pub fn forward(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        self.normalised().evaluate(x)
    }

    /// The same mixture with log-weights relative to the largest: a common offset would reduce the
    /// precision of `t`.
    fn normalised(&self) -> Self {
        Self { logits: relative(self.logits.clone()).0, ..self.clone() }
    }

    fn evaluate(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let root = self.log_scales.clone().detach().mul_scalar(-0.5).exp();
        let u = (x.unsqueeze_dim::<3>(1) - self.means.clone()) * root.clone() * root;
        // `∂u/∂s = −u`, through a term that adds exactly 0. The product rule of autodiff would
        // multiply `x` by an incoming gradient of the size of `e^s`, which overflows where the
        // result does not.
        let finite = u.clone().detach();
        let infinite = finite.clone().is_finite().bool_not();
        let nothing = self.log_scales.clone().detach() - self.log_scales.clone();
        let u = u + finite.mask_fill(infinite, 0.0) * nothing;
        let (log_below, log_above) = (softplus(u.clone().neg()).neg(), softplus(u).neg());
        let (below, below_max) = relative(self.logits.clone() + log_below.clone());
        let (above, above_max) = relative(self.logits.clone() + log_above.clone());
        // Each sum is at least 1, the largest term, and at most K, so its logarithm is finite.
        let below_sum = below.clone().exp().sum_dim(1).log();
        let above_sum = above.clone().exp().sum_dim(1).log();
        let t = (below_max - above_max) + (below_sum.clone() - above_sum.clone());
        let rising = log_sum_exp(below + log_above - self.log_scales.clone()) - below_sum;
        let falling = log_sum_exp(above + log_below - self.log_scales.clone()) - above_sum;
        (t.squeeze_dim::<2>(1), log_add_exp(rising, falling).squeeze_dim::<2>(1))
    }

    /// The `x` with `t(x) = t`, differentiable in `t` and in the parameters by the implicit
    /// function theorem. Unsolved elements are NaN.
    ///
    /// # Shapes
    /// `[batch, dims]` to `[batch, dims]`.
    pub fn inverse(&self, t: Tensor<2>) -> Tensor<2> {
        let solution = self.solve(t.clone());
        let x = solution.x.mask_fill(solution.solved.bool_not(), f32::NAN);
        let parameters = [&self.logits, &self.means, &self.log_scales];
        if !t.is_autodiff() && !parameters.iter().any(|parameter| parameter.is_autodiff()) {
            return x;
        }
        let (reached, log_derivative) = self.forward(x.clone());
        implicit(x, t, reached, log_derivative)
    }

    /// [`LogisticMixture::inverse`] without a graph, with the residual of each element and whether
    /// it is solved.
    ///
    /// Every element stops by itself. After every eight steps, the host checks whether any is left.
    pub fn solve(&self, t: Tensor<2>) -> Solution {
        let largest = farthest(t.dtype());
        let t = t.inner();
        let mixture = Self {
            logits: self.logits.clone().inner(),
            means: self.means.clone().inner(),
            log_scales: self.log_scales.clone().inner(),
        }
        .normalised();
        // In two factors: `e^s·t` may be finite where `e^s` overflows. Each factor is kept finite,
        // so that `t = 0` gives the mean.
        let root = mixture.log_scales.clone().mul_scalar(0.5).clamp_max(largest.ln()).exp();
        let alone = mixture.means.clone() + root.clone() * (root * t.clone().unsqueeze_dim::<3>(1));
        // An end that overflows lies beyond every finite root. The quarter keeps the width of the
        // bracket finite.
        let alone = alone.clamp(-largest, largest);
        let low = alone.clone().min_dim(1).squeeze_dim::<2>(1);
        let high = alone.max_dim(1).squeeze_dim::<2>(1);
        let tolerance = t.clone().abs().add_scalar(1.0).mul_scalar(machine_epsilon(t.dtype()));
        Search { target: t, low, high, tolerance }.solve(|x| mixture.evaluate(x))
    }
}

/// `x − max_k x` and the maximum. The maximum is a constant to the gradient: it cancels wherever
/// both are used.
fn relative(x: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let max = x.clone().detach().max_dim(1);
    (x - max.clone(), max)
}

fn log_sum_exp(x: Tensor<3>) -> Tensor<3> {
    let (x, max) = relative(x);
    x.exp().sum_dim(1).log() + max
}

/// `ln(e^a + e^b)`. The larger of the two is a constant to the gradient, which is 1/2 for each
/// where they are equal. It keeps its precision however far away the other is:
/// `(a + b + |a − b|)/2` would round it to the spacing of values at the smaller one.
fn log_add_exp(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    let max = a.clone().detach().max_pair(b.clone().detach());
    ((a - max.clone()).exp() + (b - max.clone()).exp()).log() + max
}
