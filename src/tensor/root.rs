//! Roots of increasing functions, one for each element, each within a bracket.
//!
//! The search takes Newton steps within the bracket. A bisection replaces a step that would leave
//! the bracket or is not at most half as long as the previous one (the guard of rtsafe, Press et
//! al., *Numerical Recipes* §9.4), and every eighth step. A bracket wider than 2^64 that spans
//! orders of magnitude is halved in its logarithm. Every element stops by itself: when its residual
//! is at rounding level, or its bracket has shrunk to adjacent floating-point numbers. After every
//! eight steps, the host checks whether any is left.

use burn::tensor::{Bool, DType, Tensor};

use super::float_limits::{largest_number, machine_epsilon};

/// Newton or bisection steps between two checks whether all elements are solved. The host waits
/// only at these checks.
const STEPS_PER_ROUND: usize = 8;

/// Rounds after which an element counts as unsolved. Each ends with a bisection, so the bracket
/// shrinks by at least 2^64. With the guarded steps in between, elements take 1 to 6 rounds in f32.
const MAX_ROUNDS: usize = 64;

/// Width, 2^64, above which a bracket that spans orders of magnitude is halved in its logarithm.
const WIDE: f64 = 18_446_744_073_709_551_616.0;

/// The result of the search.
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

/// The largest end of a bracket: a quarter of the largest finite number, so that the width of a
/// bracket is finite. Roots beyond it are left unsolved.
pub(crate) fn farthest(dtype: DType) -> f64 {
    0.25 * largest_number(dtype)
}

/// What is searched for, without a graph: `x` in `[low, high]` with `t(x) = t`.
pub(crate) struct Search {
    /// `t`.
    pub target: Tensor<2>,
    /// Lower ends, at most [`farthest`] in magnitude.
    pub low: Tensor<2>,
    /// Upper ends.
    pub high: Tensor<2>,
    /// Residuals that are at rounding level.
    pub tolerance: Tensor<2>,
}

impl Search {
    /// Finds the roots of `evaluate`, which maps `x` to `t(x)` and `ln ∂t/∂x`.
    pub fn solve(self, evaluate: impl Fn(Tensor<2>) -> (Tensor<2>, Tensor<2>)) -> Solution {
        let Self { target: t, mut low, mut high, tolerance } = self;
        let (epsilon, largest) = (machine_epsilon(t.dtype()), farthest(t.dtype()));
        let mut x = middle(&low, &high);
        let mut width = high.clone() - low.clone();
        // Without a finite target or bracket there is no root to find, so such elements are left
        // unsolved from the start.
        let hopeless = width.clone().is_finite().bool_and(t.clone().is_finite()).bool_not();
        let mut solution =
            Solution { x: x.clone(), residual: x.zeros_like(), solved: x.clone().is_nan() };
        for _ in 0..MAX_ROUNDS {
            for step in 1..=STEPS_PER_ROUND {
                let (reached, log_derivative) = evaluate(x.clone());
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
/// function at `x`.
///
/// `dx = (dt − ∂t/∂θ dθ)/(∂t/∂x)`, which is the differential of a Newton step with a constant
/// slope. The residual of this step is exactly 0, so it adds exactly 0 for any slope. Where
/// `1/(∂t/∂x)` is above e^85 (f64: e^700), gradients are too small rather than infinite.
pub(crate) fn implicit(
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
