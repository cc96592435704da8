//! The operation in plain tensor operations: its definition, and its form without a kernel. For the
//! symbols see the parent module.

use burn::tensor::Tensor;

use super::{LogisticMixture, Solution, check, n_components};
use crate::kernel::operands::operands;
use crate::tensor::channels::channel;
use crate::tensor::smooth::tanh;

/// Log-scale `α`, shift `b` and mixture of every element.
///
/// # Panics
/// Unless `theta` is `[batch, 2 + 3K, dims]`.
pub fn parts(theta: Tensor<3>, min_log_scale: f64) -> (Tensor<2>, Tensor<2>, LogisticMixture) {
    let n_params = theta.dims()[1];
    let whole = n_params >= 5 && (n_params - 2).is_multiple_of(3);
    operands!("mixture_logistic", theta).require(
        "theta",
        whole,
        "of 2 + 3K parameters, K at least 1",
    );
    let k = n_components(n_params);
    let log_scale = tanh(channel(&theta, 0));
    let shift = channel(&theta, 1);
    let mixture = LogisticMixture {
        logits: theta.clone().narrow(1, 2, k),
        means: theta.clone().narrow(1, 2 + k, k),
        log_scales: theta.narrow(1, 2 + 2 * k, k).clamp_min(min_log_scale),
    };
    (log_scale, shift, mixture)
}

/// [`forward`](super::forward), differentiated by autodiff.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(x: Tensor<2>, theta: Tensor<3>, min_log_scale: f64) -> (Tensor<2>, Tensor<2>) {
    check(operands!("mixture_logistic", x, theta), "x");
    let (log_scale, shift, mixture) = parts(theta, min_log_scale);
    let (t, log_derivative) = mixture.forward(x);
    (t * log_scale.clone().exp() + shift, log_derivative + log_scale)
}

/// [`solve`](super::solve), with all elements in lockstep.
///
/// # Panics
/// Those of [`solve`](super::solve).
pub fn solve(z: Tensor<2>, theta: Tensor<3>, min_log_scale: f64) -> Solution {
    check(operands!("mixture_logistic", z, theta), "z");
    let (log_scale, shift, mixture) = parts(theta, min_log_scale);
    mixture.solve((z - shift) * log_scale.neg().exp())
}
