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
//! upper end every `u_k ≥ t`. The search takes Newton steps within the bracket. A bisection
//! replaces a step that would leave the bracket or is not at most half as long as the previous one
//! (the guard of rtsafe, Press et al., *Numerical Recipes* §9.4), and every eighth step. An end of
//! the bracket that overflows is set to a quarter of the largest finite number; roots beyond it are
//! left unsolved. A bracket wider than 2^64 that spans orders of magnitude is halved in its
//! logarithm.
//!
//! # Reference
//! Ho et al. 2019 §3.2. Difference: the paper's code computes `F` and its logit in linear space,
//! which is infinite in f32 from `t ≈ 17` on, and bisects on `F`.

use burn::tensor::{Bool, DType, Tensor};

use crate::tensor::float_limits::{largest_number, machine_epsilon};
use crate::tensor::smooth::softplus;

/// Newton or bisection steps between two checks whether all elements are solved. The host waits
/// only at these checks.
const STEPS_PER_ROUND: usize = 8;

/// Rounds after which an element counts as unsolved. Each ends with a bisection, so the bracket
/// shrinks by at least 2^64. With the guarded steps in between, elements take 1 to 6 rounds in f32.
const MAX_ROUNDS: usize = 64;

/// Width, 2^64, above which a bracket that spans orders of magnitude is halved in its logarithm.
const WIDE: f64 = 18_446_744_073_709_551_616.0;

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

/// The result of the inverse.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The solution, or the best point found, `[batch, dims]`.
    pub x: Tensor<2>,
    /// `t(x) − t` at this point, `[batch, dims]`.
    pub residual: Tensor<2>,
    /// Whether the residual is at rounding level, or the bracket has shrunk to adjacent
    /// floating-point numbers, `[batch, dims]`.
    pub solved: Tensor<2, Bool>,
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
        let (epsilon, largest) = (machine_epsilon(t.dtype()), 0.25 * largest_number(t.dtype()));
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
        let mut low = alone.clone().min_dim(1).squeeze_dim::<2>(1);
        let mut high = alone.max_dim(1).squeeze_dim::<2>(1);
        let tolerance = t.clone().abs().add_scalar(1.0).mul_scalar(epsilon);
        let mut x = middle(&low, &high);
        let mut width = high.clone() - low.clone();
        // Without a finite target or bracket there is no root to find, so such elements are left
        // unsolved from the start.
        let hopeless = width.clone().is_finite().bool_and(t.clone().is_finite()).bool_not();
        let mut solution =
            Solution { x: x.clone(), residual: x.zeros_like(), solved: x.clone().is_nan() };
        for _ in 0..MAX_ROUNDS {
            for step in 1..=STEPS_PER_ROUND {
                let (reached, log_derivative) = mixture.evaluate(x.clone());
                let residual = reached - t.clone();
                high = high.clone().mask_where(residual.clone().greater_equal_elem(0.0), x.clone());
                low = low.clone().mask_where(residual.clone().lower_equal_elem(0.0), x.clone());
                let closed = neighbours(&low, &high, epsilon);
                let exact = residual.clone().abs().lower_equal(tolerance.clone());
                let solved = exact.bool_or(closed);
                let newton = residual.clone().neg() * log_derivative.neg().exp();
                let target = x.clone() + newton.clone();
                let inside = target
                    .clone()
                    .greater_equal(low.clone())
                    .bool_and(target.clone().lower_equal(high.clone()));
                let shrinks = newton.clone().abs().lower_equal(width.clone().mul_scalar(0.5));
                let middle = middle(&low, &high);
                let next = if step == STEPS_PER_ROUND {
                    middle
                } else {
                    middle.mask_where(inside.bool_and(shrinks), target)
                };
                width = (next.clone() - x.clone()).abs();
                let kept = x.clone();
                x = next.mask_where(solved.clone(), kept.clone());
                solution = Solution { x: kept, residual, solved };
            }
            // A NaN among the parameters.
            let undefined = solution.residual.clone().is_nan();
            if solution
                .solved
                .clone()
                .bool_or(hopeless.clone())
                .bool_or(undefined)
                .all()
                .into_scalar::<bool>()
            {
                break;
            }
        }
        // A bracket that closed at the outermost value closed at the value that was set there, not
        // at a root. Comparisons with NaN are false.
        let inside = solution.x.clone().abs().lower_elem(0.999 * largest);
        let exact = solution.residual.clone().abs().lower_equal(tolerance);
        let known = solution.residual.clone().abs().lower_equal_elem(4.0 * largest);
        let found = inside.bool_and(known).bool_or(exact).bool_and(hopeless.bool_not());
        solution.solved = solution.solved.bool_and(found);
        solution
    }
}

/// The root `x` with the gradient of the implicit function theorem, from `t` and the values of the
/// law at `x`.
///
/// `dx = (dt − ∂t/∂θ dθ)/(∂t/∂x)`, which is the differential of a Newton step with a constant
/// slope. The residual of this step is exactly 0, so it adds exactly 0 for any slope. Where
/// `1/(∂t/∂x)` is above e^85 (f64: e^700), gradients are too small rather than infinite.
pub(super) fn implicit(
    x: Tensor<2>,
    t: Tensor<2>,
    reached: Tensor<2>,
    log_derivative: Tensor<2>,
) -> Tensor<2> {
    let flattest = if t.dtype() == DType::F64 { 700.0 } else { 85.0 };
    let residual = t - reached;
    let nothing = residual.clone() - residual.detach();
    x + nothing * log_derivative.detach().neg().clamp_max(flattest).exp()
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

/// The midpoint, without overflow. For a wide bracket, it is taken between the logarithms
/// `sign(x)·ln(1 + |x|)` of the ends.
fn middle(low: &Tensor<2>, high: &Tensor<2>) -> Tensor<2> {
    let middle = low.clone().mul_scalar(0.5) + high.clone().mul_scalar(0.5);
    let width = high.clone() - low.clone();
    let size = low.clone().abs().max_pair(high.clone().abs());
    let wide = width.clone().greater_elem(WIDE).bool_and(width.greater(size.mul_scalar(0.5)));
    let log = |x: &Tensor<2>| x.clone().sign() * x.clone().abs().log1p();
    let log_middle = (log(low) + log(high)).mul_scalar(0.5);
    middle.mask_where(wide, log_middle.clone().sign() * log_middle.abs().exp().sub_scalar(1.0))
}

/// Whether the bracket contains at most one number strictly inside.
fn neighbours(low: &Tensor<2>, high: &Tensor<2>, epsilon: f64) -> Tensor<2, Bool> {
    let size = low.clone().abs().max_pair(high.clone().abs());
    (high.clone() - low.clone()).lower_equal(size.mul_scalar(epsilon))
}
