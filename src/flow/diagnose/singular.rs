//! Extreme singular values of Jacobians by power iteration, all examples at once.
//! ```text
//! w = Jᵀ J v          J v ≈ (f(x + h·v) − f(x − h·v)) / 2h,   Jᵀ u by autodiff
//! v ← w / |w|         σ_max ≈ |Jᵀ u|  with  u = J v / |J v|
//! ```
//! `|Jᵀ u|` of a unit vector `u` never exceeds `σ_max`, however the error of the differences
//! changes `u`. The smallest singular value is the reciprocal of the largest one of the inverse's
//! Jacobian.

use burn::tensor::{DType, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use super::measure::{Range, extremes, numbers};
use crate::error::FlowError;
use crate::flow::non_finite;
use crate::tensor::graph::constant;
use crate::tensor::per_example::sum_event;

/// How often the step of the differences is divided by 10 if it leaves the domain.
const SHORTER: i32 = 4;

type Map<'a, const D: usize> = &'a dyn Fn(Tensor<D>) -> Tensor<D>;

/// Range of `ln σ` over all examples, and the largest condition number.
pub(super) fn log_singular_values<const D: usize>(
    forward: Map<'_, D>,
    inverse: Map<'_, D>,
    x: Tensor<D>,
    z: Tensor<D>,
    steps: usize,
) -> Result<(Range, f64), FlowError> {
    let largest = log_norms(forward, x, steps)?;
    let smallest: Vec<f64> =
        log_norms(inverse, z, steps)?.into_iter().map(|value| -value).collect();
    // At least 1, whatever the error of the iterations: both extremes of an orthogonal map are the
    // same value.
    let condition = largest.iter().zip(&smallest).map(|(high, low)| (high - low).exp().max(1.0));
    // An unknown condition number must not be hidden by a known one.
    let condition = condition
        .fold(1.0, |most: f64, value| if value.is_nan() { value } else { most.max(value) });
    let unknown = largest.iter().chain(&smallest).any(|value| value.is_nan());
    let range = extremes(largest.into_iter().chain(smallest));
    Ok((range, if unknown { f64::NAN } else { condition }))
}

/// `ln ‖J‖` of each example; NaN where the map or its gradient is not finite.
fn log_norms<const D: usize>(
    f: Map<'_, D>,
    at: Tensor<D>,
    steps: usize,
) -> Result<Vec<f64>, FlowError> {
    let device = at.device().autodiff();
    let n: usize = at.dims().iter().product();
    let mut rng = StdRng::seed_from_u64(0);
    let draws: Vec<f64> =
        (0..n).map(|_| Distribution::<f64>::sample(&StandardNormal, &mut rng)).collect();
    let draws = TensorData::new(draws, at.dims()).convert_dtype(at.dtype());
    let mut v = unit(Tensor::from_data(draws, (&at.device(), at.dtype())));
    let mut norm = Tensor::zeros([at.dims()[0]], (&at.device(), at.dtype()));
    for _ in 0..steps {
        let u = unit(along(f, &at, &v)?);
        let leaf = constant(at.clone(), &device).require_grad();
        let out = f(leaf.clone());
        let mut found = (out * constant(u, &device)).sum().backward();
        // The identity may return its input without a graph.
        let Some(w) = leaf.grad_remove(&mut found) else { break };
        norm = length(&w);
        v = unit(w);
    }
    Ok(numbers(&norm)?.into_iter().map(f64::ln).collect())
}

/// `J v` by central differences, with a step that stays within the domain if possible.
fn along<const D: usize>(
    f: Map<'_, D>,
    at: &Tensor<D>,
    v: &Tensor<D>,
) -> Result<Tensor<D>, FlowError> {
    // The cube root of the spacing balances the rounding error of the difference and its
    // third-order error.
    let root =
        if at.dtype() == DType::F64 { f64::EPSILON.cbrt() } else { f64::from(f32::EPSILON).cbrt() };
    let scale = length(at).add_scalar(1.0).mul_scalar(root);
    let mut shorter = 1.0;
    for _ in 0..SHORTER {
        let step = v.clone() * spread(scale.clone().mul_scalar(shorter), v.dims());
        let difference = f(at.clone() + step.clone()) - f(at.clone() - step);
        // The output of a map may have another shape.
        let dims = difference.dims();
        let slope = difference / spread(scale.clone().mul_scalar(2.0 * shorter), dims);
        if non_finite(slope.clone())?.is_none() {
            return Ok(slope);
        }
        shorter *= 0.1;
    }
    Ok(f(at.clone()).full_like(f32::NAN))
}

/// Length of each example, `[batch]`.
fn length<const D: usize>(v: &Tensor<D>) -> Tensor<1> {
    // Squares of values relative to the largest element do not overflow.
    let dims = v.dims();
    let largest = v
        .clone()
        .abs()
        .reshape([dims[0], dims[1..].iter().product()])
        .max_dim(1)
        .squeeze_dim::<1>(1);
    let share = v.clone() / spread(largest.clone(), dims);
    largest * sum_event(share.square()).sqrt()
}

/// Each example with length 1.
fn unit<const D: usize>(v: Tensor<D>) -> Tensor<D> {
    let dims = v.dims();
    let length = spread(length(&v), dims);
    v / length
}

/// Expands one value for each example to a tensor of this shape.
fn spread<const D: usize>(value: Tensor<1>, dims: [usize; D]) -> Tensor<D> {
    let ones: [usize; D] = std::array::from_fn(|axis| if axis == 0 { dims[0] } else { 1 });
    value.reshape(ones).expand(dims)
}
