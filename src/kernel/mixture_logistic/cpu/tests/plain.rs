//! The law in plain log-space arithmetic of f64.

use crate::kernel::mixture_logistic::cpu::linear_space::ExponentLimit;

use super::problem::{MIN_LOG_SCALE, Problem};

/// A plain evaluation.
pub struct Plain {
    pub z: f64,
    pub log_derivative: f64,
    pub t: f64,
    /// Change of `z` and of the log-derivative by relative errors of the `u_k` and `ℓ_k`.
    pub slack_t: f64,
    pub slack_l: f64,
    /// For each component: the shares `[f, g, d, w]`.
    pub shares: Vec<[f64; 4]>,
    /// For each component.
    pub standardised: Vec<f64>,
    pub inverse_scales: Vec<f64>,
    pub slope: f64,
}

fn log_sum_exp(terms: &[f64]) -> f64 {
    let max = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + terms.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

pub fn plain<T: ExponentLimit>(problem: &Problem<T>, index: usize) -> Plain {
    let k = problem.k;
    let x = problem.x[index].to_f64().unwrap();
    let log_scale = problem.parameter(index, 0).tanh();
    let top = (0..k).map(|j| problem.parameter(index, 2 + j)).fold(f64::NEG_INFINITY, f64::max);
    let logits: Vec<f64> = (0..k).map(|j| problem.parameter(index, 2 + j) - top).collect();
    let s: Vec<f64> =
        (0..k).map(|j| problem.parameter(index, 2 + 2 * k + j).max(MIN_LOG_SCALE)).collect();
    let u: Vec<f64> =
        (0..k).map(|j| (x - problem.parameter(index, 2 + k + j)) * (-s[j]).exp()).collect();
    let log_sigmoid = |u: f64| u.min(0.0) - (-u.abs()).exp().ln_1p();
    let sums = |f: &dyn Fn(usize) -> f64| {
        let terms: Vec<f64> = (0..k).map(f).collect();
        let sum = log_sum_exp(&terms);
        (sum, terms.iter().map(|term| (term - sum).exp()).collect::<Vec<f64>>())
    };
    let (log_f, f) = sums(&|j| logits[j] + log_sigmoid(u[j]));
    let (log_g, g) = sums(&|j| logits[j] + log_sigmoid(-u[j]));
    let (_, w) = sums(&|j| logits[j]);
    let (rising, _) = sums(&|j| logits[j] + log_sigmoid(u[j]) - log_f + log_sigmoid(-u[j]) - s[j]);
    let (falling, d) = sums(&|j| logits[j] + log_sigmoid(-u[j]) - log_g + log_sigmoid(u[j]) - s[j]);
    let t = log_f - log_g;
    let l = log_sum_exp(&[rising, falling]);
    let (mut slack_t, mut slack_l) = (0.0, 0.0);
    for j in 0..k {
        let (rise, fall) = (f[j] * log_sigmoid(-u[j]).exp(), g[j] * log_sigmoid(u[j]).exp());
        slack_t += (rise + fall) * u[j].abs() + (f[j] - g[j]).abs() * logits[j].abs();
        slack_l += (fall - rise - d[j] * (0.5 * u[j]).tanh()).abs() * u[j].abs();
        slack_l += (d[j] + w[j] - f[j] - g[j]).abs() * (logits[j].abs() + u[j].abs());
    }
    let scale = log_scale.exp();
    Plain {
        z: scale * t + problem.parameter(index, 1),
        log_derivative: log_scale + l,
        t,
        slack_t: scale * slack_t,
        slack_l,
        shares: (0..k).map(|j| [f[j], g[j], d[j], w[j]]).collect(),
        standardised: u,
        inverse_scales: s.iter().map(|s| (-s).exp()).collect(),
        slope: l.exp(),
    }
}

impl Plain {
    /// Largest sums of the absolute terms of the gradients of logits, means and log-scales, and the
    /// relative change of the shares in them by relative errors of the `u_k`.
    pub fn gradient_terms(&self, gt: f64, gl: f64) -> ([f64; 3], f64) {
        let mut largest = [0.0; 3];
        let mut sensitivity = 0.0;
        for ((&[f, g, d, w], &u), &q) in
            self.shares.iter().zip(&self.standardised).zip(&self.inverse_scales)
        {
            let logit = gt.abs() * (f + g) + gl.abs() * (f + g + d + w);
            let mean = d * ((gt.abs() + gl.abs()) * self.slope + gl.abs() * q);
            let log_scale = u.abs() * mean / q + gl.abs() * d;
            for (largest, terms) in largest.iter_mut().zip([logit, mean, log_scale]) {
                *largest = f64::max(*largest, terms);
            }
            if f.max(g).max(d) > 1e-7 {
                sensitivity = f64::max(sensitivity, u.abs());
            }
        }
        (largest, sensitivity)
    }
}
