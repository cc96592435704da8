//! The operation in plain tensor operations: its definition.

use burn::tensor::Tensor;

use super::n_components;
use crate::law::{LogisticMixture, Solution, parameter};
use crate::smooth::tanh;

/// Log-scale `α`, shift `b` and mixture of every number.
pub fn parts(theta: Tensor<3>, min_log_scale: f64) -> (Tensor<2>, Tensor<2>, LogisticMixture) {
    let k = n_components(theta.dims()[1]);
    let log_scale = tanh(parameter(&theta, 0));
    let shift = parameter(&theta, 1);
    let mixture = LogisticMixture {
        logits: theta.clone().narrow(1, 2, k),
        means: theta.clone().narrow(1, 2 + k, k),
        log_scales: theta.narrow(1, 2 + 2 * k, k).clamp_min(min_log_scale),
    };
    (log_scale, shift, mixture)
}

/// [`forward`](super::forward) by automatic differentiation.
pub fn forward(x: Tensor<2>, theta: Tensor<3>, min_log_scale: f64) -> (Tensor<2>, Tensor<2>) {
    let (log_scale, shift, mixture) = parts(theta, min_log_scale);
    let (t, log_derivative) = mixture.forward(x);
    (t * log_scale.clone().exp() + shift, log_derivative + log_scale)
}

/// [`solve`](super::solve) with all elements in step.
pub fn solve(z: Tensor<2>, theta: Tensor<3>, min_log_scale: f64) -> Solution {
    let (log_scale, shift, mixture) = parts(theta, min_log_scale);
    mixture.solve((z - shift) * log_scale.neg().exp())
}
