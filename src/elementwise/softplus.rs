//! Softplus: from the real line to the positive numbers, the identity far out.
//! ```text
//! forward   z = ln(1 + exp(x))             inverse   x = ln(exp(z) − 1) = z + ln tanh(z/2) + ln(1 + exp(−z))
//! log_det   Σ ln σ(x) = −Σ ln(1 + exp(−x))
//! ```
//! Positive data comes to the real line by [`crate::Invert`] of it; [`crate::Exp`] is the other way, with tails that spread.
//!
//! # Numerics
//! Nothing overflows. The inverse uses `1 − e^{−z} = tanh(z/2)·(1 + e^{−z})`, which keeps its bits for small `z`. `z` is 0 below
//! `x ≈ −103` (f32, and −87 on devices without subnormal numbers), and the inverse of 0 is −∞; that of a negative number is NaN.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, Softplus};
//!
//! let x = Tensor::<2>::from_data([[0.0, 200.0]], &Device::flex());
//! let (z, log_det) = Softplus::new().forward(x.clone(), &());
//! z.clone().into_data().assert_approx_eq::<f32>(&[[2f32.ln(), 200.0]].into(), Default::default());
//! assert!((f64::from(log_det.into_scalar::<f32>()) - 0.5f64.ln()).abs() < 1e-6);
//! let back: Tensor<2> = Bijector::<2>::inverse(&Softplus::new(), z, &());
//! back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::ShapeError;
use crate::event::sum_event;
use crate::softplus::softplus;

/// Softplus. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct Softplus {}

impl Softplus {
    /// The bijector.
    pub fn new() -> Self {
        Self {}
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Softplus {
    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let log_det = sum_event(softplus(x.clone().neg()).neg());
        (softplus(x), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        let tanh = z.clone().mul_scalar(0.5).tanh();
        tanh.log() + z.clone().neg().exp().log1p() + z
    }

    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}
