//! Tests of the inverse.

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::mixture_logistic::cpu::linear_space::ExponentLimit;

use super::plain::plain;
use super::problem::{Problem, Spread, cases, normal};

/// Compares solutions with the plain evaluation: either the residual there is a rounding error, or
/// the root lies before the next floating-point number. `z` is the result of the forward pass, or
/// any value.
fn inverse_is_exact<T: ExponentLimit>(spread: Spread, of_forward: bool) {
    let epsilon = T::epsilon().to_f64().unwrap();
    for set in InstructionSet::available() {
        let (mut n_elements, mut n_steep, mut worst) = (0, 0, 0.0);
        for (n, d, k, spread, seed) in cases(spread) {
            let problem = Problem::<T>::draw(n, d, k, spread, seed);
            let z = if of_forward {
                problem.forward(set).0
            } else {
                normal(n * d, seed + 3).into_iter().map(|z| T::of(3.0 * z)).collect()
            };
            let (x, _, solved) = problem.solve(set, &z);
            for index in 0..x.len() {
                assert!(solved[index], "element {index} of {n} times {d} with K = {k}");
                let log_scale = problem.parameter(index, 0).tanh();
                let t =
                    (z[index].to_f64().unwrap() - problem.parameter(index, 1)) * (-log_scale).exp();
                let at = |x: T| {
                    let mut there = problem.clone();
                    there.x[index] = x;
                    plain(&there, index)
                };
                let reached = at(x[index]);
                let scale = 1.0
                    + t.abs()
                    + problem.parameter(index, 1).abs()
                    + reached.slack_t * (-log_scale).exp();
                let (error, allowed) = ((reached.t - t).abs(), 8.0 * epsilon * scale);
                n_elements += 1;
                if error <= allowed {
                    worst = f64::max(worst, error / scale);
                    continue;
                }
                n_steep += 1;
                let direction = if reached.t < t { T::one() } else { -T::one() };
                let next = at(x[index] + T::of(2.0) * T::epsilon() * x[index].abs() * direction);
                let beyond = (next.t - t) * direction.to_f64().unwrap();
                assert!(
                    beyond >= -allowed,
                    "{} for {t} at {:?}, then {}, K = {k}",
                    reached.t,
                    x[index],
                    next.t
                );
            }
        }
        println!(
            "{spread:?}: {n_steep} of {n_elements} steep, worst residual of the others {worst:.2e}"
        );
    }
}

#[test]
fn inverse_in_f32() {
    for of_forward in [true, false] {
        inverse_is_exact::<f32>(Spread::Mild, of_forward);
        inverse_is_exact::<f32>(Spread::Extreme, of_forward);
    }
}

#[test]
fn inverse_in_f64() {
    for of_forward in [true, false] {
        inverse_is_exact::<f64>(Spread::Mild, of_forward);
        inverse_is_exact::<f64>(Spread::Extreme, of_forward);
    }
}
