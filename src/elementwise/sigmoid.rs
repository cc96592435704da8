//! Logistic sigmoid: from the real line to (0, 1).
//! ```text
//! forward   z = σ(x)                       inverse   x = ln z − ln(1 − z)
//! log_det   −Σ ( |x| + 2 ln(1 + exp(−|x|)) )         = −Σ ( softplus(x) + softplus(−x) )
//! ```
//! # Numerics
//! The log-determinant is exact for every `x`. `z` itself rounds to 1 from `x ≈ 17` (f32) on, and to 0 below −104; the inverse of such a
//! `z` is ±∞.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::ShapeError;
use crate::event::sum_event;

/// Logistic sigmoid. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct Sigmoid {}

impl Sigmoid {
    /// The bijector.
    pub fn new() -> Self {
        Self {}
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Sigmoid {
    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let size = x.clone().abs();
        let log_det = sum_event((size.clone() + size.neg().exp().log1p().mul_scalar(2.0)).neg());
        (burn::tensor::activation::sigmoid(x), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        z.clone().log() - z.neg().log1p()
    }

    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}
