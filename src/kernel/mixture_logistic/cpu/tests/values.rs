//! Tests of forward values, and of closed forms.

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::mixture_logistic::cpu::linear_space::ExponentLimit;
use crate::kernel::mixture_logistic::cpu::tile::n_rows;

use super::plain::plain;
use super::problem::{Problem, Spread, cases};

/// Largest errors of `z` and of the log-derivative, in units of `1 + |value| + slack`.
fn worst<T: ExponentLimit>(problem: &Problem<T>, z: &[T], log_derivative: &[T]) -> (f64, f64) {
    let mut worst = (0.0, 0.0);
    for index in 0..problem.x.len() {
        let plain = plain(problem, index);
        let error = |found: T, value: f64, slack: f64| {
            let error = (found.to_f64().unwrap() - value).abs() / (1.0 + value.abs() + slack);
            assert!(
                error.is_finite(),
                "{found:?} for {value} at {index} of {} with K = {}",
                problem.x.len(),
                problem.k
            );
            error
        };
        worst.0 = f64::max(worst.0, error(z[index], plain.z, plain.slack_t + plain.t.abs()));
        worst.1 =
            f64::max(worst.1, error(log_derivative[index], plain.log_derivative, plain.slack_l));
    }
    worst
}

fn forward_is_accurate<T: ExponentLimit>(spread: Spread, bounds: (f64, f64)) {
    for set in InstructionSet::available() {
        let mut all = (0.0, 0.0);
        for (n, d, k, spread, seed) in cases(spread) {
            let problem = Problem::<T>::draw(n, d, k, spread, seed);
            let (z, log_derivative) = problem.forward(set);
            let worst = worst(&problem, &z, &log_derivative);
            all = (f64::max(all.0, worst.0), f64::max(all.1, worst.1));
        }
        println!("{spread:?}: z {:.2e}, log-derivative {:.2e}", all.0, all.1);
        assert!(all.0 <= bounds.0 && all.1 <= bounds.1, "{all:?} in {set:?}");
    }
}

#[test]
fn forward_in_f32() {
    forward_is_accurate::<f32>(Spread::Mild, (4e-7, 4e-7));
    forward_is_accurate::<f32>(Spread::Extreme, (4e-7, 4e-7));
}

#[test]
fn forward_in_f64() {
    forward_is_accurate::<f64>(Spread::Mild, (1e-15, 1e-15));
    // These are mostly errors of the plain evaluation, whose terms are of the size of t.
    forward_is_accurate::<f64>(Spread::Extreme, (2e-15, 1e-13));
}

/// `t(x) = (x − μ) e^−s` for one component, whatever its logit.
#[test]
fn one_component_is_affine() {
    for set in InstructionSet::available() {
        let mut problem = Problem::<f64>::draw(4, 50, 1, Spread::Mild, 3);
        for example in 0..4 {
            for dim in 0..50 {
                problem.theta[(example * 5 + 2) * 50 + dim] *= 30.0;
            }
        }
        let (z, log_derivative) = problem.forward(set);
        let (x, _, solved) = problem.solve(set, &z);
        for index in 0..200 {
            let [a, b, _, mean, log_scale] =
                [0, 1, 2, 3, 4].map(|row| problem.parameter(index, row));
            let t = (problem.x[index] - mean) * (-log_scale).exp();
            assert!((z[index] - (a.tanh().exp() * t + b)).abs() < 1e-14 * (1.0 + t.abs()));
            assert!((log_derivative[index] - (a.tanh() - log_scale)).abs() < 1e-14);
            assert!(solved[index] && (x[index] - problem.x[index]).abs() < 1e-13);
        }
    }
}

/// An odd function with equal components at `±1`, with an even derivative.
#[test]
fn symmetric_mixtures_are_odd() {
    for set in InstructionSet::available() {
        let x: Vec<f64> = (0..33).map(|i| f64::from(i - 16) * 0.5).collect();
        let mut theta = vec![0.0; n_rows(2) * 33];
        theta[4 * 33..5 * 33].fill(-1.0);
        theta[5 * 33..6 * 33].fill(1.0);
        let problem = Problem { n_examples: 1, n_dims: 33, k: 2, x, theta };
        let (z, log_derivative) = problem.forward(set);
        assert_eq!(z[16], 0.0);
        // ln 4 σ(1) σ(−1)
        let at_zero = (4.0 / (2.0 + 1f64.exp() + (-1f64).exp())).ln();
        assert!((log_derivative[16] - at_zero).abs() < 1e-15);
        for i in 0..33 {
            assert!((z[i] + z[32 - i]).abs() < 1e-14);
            assert!((log_derivative[i] - log_derivative[32 - i]).abs() < 1e-14);
        }
    }
}

#[test]
fn instruction_sets_agree() {
    for (n, d, k, spread, seed) in cases(Spread::Mild) {
        let problem = Problem::<f32>::draw(n, d, k, spread, seed);
        let all: Vec<_> = InstructionSet::available()
            .into_iter()
            .map(|set| {
                let (z, log_derivative) = problem.forward(set);
                let (x_gradient, theta_gradient) = problem.backward(set, &problem.x, &problem.x);
                [z, log_derivative, x_gradient, theta_gradient]
            })
            .collect();
        for other in &all[1..] {
            for (a, b) in all[0].iter().flatten().zip(other.iter().flatten()) {
                assert!((a - b).abs() < 2e-5 * (1.0 + a.abs()), "{a} and {b}");
            }
        }
    }
}
