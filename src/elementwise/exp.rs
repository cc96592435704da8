//! Exponential: from the real line to the positive real numbers.
//! ```text
//! forward   z = exp(x)                     inverse   x = ln z
//! log_det   Σ x
//! ```
//! [`crate::Invert`] of it is the logarithm of positive data.
//!
//! # Numerics
//! `z` overflows float32 above 88 and is 0 below −103 (−87 on devices without subnormal values).
//! The log-determinant is exact for every `x`. The inverse of 0 is −∞, that of a negative value is
//! NaN.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, Exp, Invert};
//!
//! let x = Tensor::<2>::from_data([[1.0, 10.0]], &Device::flex());
//! let (z, log_det) = Invert::new(Exp::new()).forward(x, &());
//! z.into_data().assert_approx_eq::<f32>(&[[0.0, 10f32.ln()]].into(), Default::default());
//! assert!((log_det.into_scalar::<f32>() + 10f32.ln()).abs() < 1e-6);
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};
use crate::tensor::per_example::sum_event;

/// Exponential. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct Exp {}

impl Exp {
    /// The bijector.
    pub fn new() -> Self {
        Self {}
    }
}

/// Nothing is configured: the layer is its own configuration.
impl<const D: usize, C: Context> LayerConfig<D, C> for Exp {
    type Layer = Self;

    fn build(&self, site: &Site<D, C>) -> Result<Self, ConfigError> {
        self.plan(site)?;
        Ok(Self::new())
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        site.elements("Exp")?;
        Ok(site.keeps(0))
    }
}

impl<const D: usize> ShapeMap<D> for Exp {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Exp {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        (x.clone().exp(), sum_event(x))
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        z.log()
    }
}
