//! Hyperbolic tangent: from the real line to (−1, 1).
//! ```text
//! forward   z = tanh x                     inverse   x = ½ (ln(1 + z) − ln(1 − z))
//! log_det   Σ ln(1 − tanh²x) = Σ 2 (ln 2 − |x| − ln(1 + exp(−2|x|)))
//! ```
//! [`crate::Invert`] of it maps data in (−1, 1) to the real line.
//!
//! # Numerics
//! `1 − tanh²x` is never computed as a difference where it would cancel (in f32 it would be 0 for
//! `|x|` above about 9). The log-determinant and all first derivatives are therefore accurate for
//! every `x`, also near 0 ([`crate::tensor::smooth`]). For large `|x|`, `z` itself rounds to ±1.
//! The inverse of ±1 is ±∞; outside [−1, 1] it is NaN.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, Tanh};
//!
//! let x = Tensor::<2>::from_data([[0.5, -20.0]], &Device::flex());
//! let (z, log_det) = Tanh::new().forward(x, &());
//! z.into_data().assert_approx_eq::<f32>(&[[0.5f32.tanh(), -1.0]].into(), Default::default());
//! let expected = (1.0 - 0.5f64.tanh().powi(2)).ln() + 2.0 * (2f64.ln() - 20.0);
//! assert!((f64::from(log_det.into_scalar::<f32>()) - expected).abs() < 1e-5);
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};
use crate::tensor::per_example::sum_event;
use crate::tensor::smooth::{log_tanh_slope, logit_of_difference, tanh};

/// Hyperbolic tangent. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct Tanh {}

impl Tanh {
    /// The bijector.
    pub fn new() -> Self {
        Self {}
    }
}

/// Nothing is configured: the layer is its own configuration.
impl<const D: usize, C: Context> LayerConfig<D, C> for Tanh {
    type Layer = Self;

    fn build(&self, site: &Site<D, C>) -> Result<Self, ConfigError> {
        self.plan(site)?;
        Ok(Self::new())
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        site.elements("Tanh")?;
        Ok(site.keeps(0))
    }
}

impl<const D: usize> ShapeMap<D> for Tanh {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Tanh {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        (tanh(x.clone()), sum_event(log_tanh_slope(x)))
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        logit_of_difference(z).mul_scalar(0.5)
    }
}
