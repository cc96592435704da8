//! Tests of gradients.

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::mixture_logistic::cpu::tile::n_rows;

use super::plain::plain;
use super::problem::{Problem, Spread, cases, normal};

/// Checks the gradients of `Σ z g_z + L g_L` with respect to everything.
fn gradients_match_central_differences(spread: Spread, k: usize, bound: f64) {
    let problem = Problem::<f64>::draw(2, 37, k, spread, 5);
    let set = InstructionSet::detect();
    let (gz, gl) = (normal(problem.x.len(), 6), normal(problem.x.len(), 7));
    let (x_gradient, theta_gradient) = problem.backward(set, &gz, &gl);
    let value = |problem: &Problem<f64>, index: usize| {
        let plain = plain(problem, index);
        gz[index] * plain.z + gl[index] * plain.log_derivative
    };
    let check = |index: usize, gradient: f64, scale: f64, set: &dyn Fn(&mut Problem<f64>, f64)| {
        let h = 1e-6 * scale;
        let mut moved = problem.clone();
        set(&mut moved, h);
        let above = value(&moved, index);
        let mut moved = problem.clone();
        set(&mut moved, -h);
        let difference = (above - value(&moved, index)) / (2.0 * h);
        let error = (gradient - difference).abs() / (1.0 + difference.abs());
        assert!(error < bound, "{gradient} for {difference} at {index}");
    };
    for (index, &x_gradient) in x_gradient.iter().enumerate() {
        let (example, dim) = (index / problem.n_dims, index % problem.n_dims);
        check(index, x_gradient, 0.1, &|problem, h| problem.x[index] += h);
        for row in 0..n_rows(k) {
            let at = (example * n_rows(k) + row) * problem.n_dims + dim;
            check(index, theta_gradient[at], 0.1, &|problem, h| problem.theta[at] += h);
        }
    }
}

#[test]
fn gradients_in_f64() {
    for k in [1, 2, 5] {
        gradients_match_central_differences(Spread::Mild, k, 1e-6);
    }
}

/// Largest error of a gradient, relative to the largest gradient of its kind (logits, means,
/// log-scales) at its element, before the terms of one gradient cancel. Errors that follow from
/// those of large `u_k` are not counted.
fn gradient_error(problem: &Problem<f32>, set: InstructionSet, gz: &[f32], gl: &[f32]) -> f64 {
    let wide = |elements: &[f32]| elements.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (x_gradient, theta_gradient) = problem.backward(set, gz, gl);
    let (x_truth, theta_truth) = problem.to_f64().backward(set, &wide(gz), &wide(gl));
    let k = problem.k;
    let mut worst = 0.0;
    for index in 0..problem.x.len() {
        let (example, dim) = (index / problem.n_dims, index % problem.n_dims);
        let at = |row: usize| (example * n_rows(k) + row) * problem.n_dims + dim;
        let plain = plain(problem, index);
        let (gz, gl) = (f64::from(gz[index]), f64::from(gl[index]));
        let gt = gz * problem.parameter(index, 0).tanh().exp();
        let (largest, sensitivity) = plain.gradient_terms(gt, gl);
        let mut check = |found: f32, truth: f64, largest: f64| {
            let error =
                (f64::from(found) - truth).abs() / (largest.max(1e-30) * (1.0 + 0.1 * sensitivity));
            assert!(!error.is_nan(), "{found} for {truth}");
            worst = f64::max(worst, error);
        };
        check(
            theta_gradient[at(0)],
            theta_truth[at(0)],
            (gt * plain.t).abs() + gl.abs() + gt.abs(),
        );
        check(theta_gradient[at(1)], theta_truth[at(1)], gz.abs());
        check(x_gradient[index], x_truth[index], largest[1]);
        for (kind, largest) in largest.into_iter().enumerate() {
            for row in 2 + kind * k..2 + (kind + 1) * k {
                check(theta_gradient[at(row)], theta_truth[at(row)], largest);
            }
        }
    }
    worst
}

#[test]
fn gradients_in_f32() {
    for set in InstructionSet::available() {
        for spread in [Spread::Mild, Spread::Extreme] {
            let mut worst = [0.0; 3];
            for (n, d, k, spread, seed) in cases(spread) {
                let problem = Problem::<f32>::draw(n, d, k, spread, seed);
                let narrow =
                    |seed| normal(n * d, seed).into_iter().map(|x| x as f32).collect::<Vec<f32>>();
                let (gz, gl, zeros) = (narrow(seed + 2), narrow(seed + 3), vec![0.0; n * d]);
                for (worst, (gz, gl)) in
                    worst.iter_mut().zip([(&gz, &gl), (&gz, &zeros), (&zeros, &gl)])
                {
                    *worst = f64::max(*worst, gradient_error(&problem, set, gz, gl));
                }
            }
            let bound = if matches!(spread, Spread::Mild) { 2e-6 } else { 2e-5 };
            assert!(worst.iter().all(|&worst| worst < bound), "{worst:?}");
            println!(
                "{spread:?}: both {:.2e}, of z {:.2e}, of the log-derivative {:.2e}",
                worst[0], worst[1], worst[2]
            );
        }
    }
}
