//! Independent latents, uniform on [0, 1).
//! ```text
//! ln p(z) = 0 on [0, 1]^D, −∞ elsewhere    sample   ½ + temperature·(U − ½)
//! ```
//! With the identity as the flow and uniform dequantization of 256 levels, the result is exactly 8
//! bits/dim. [`UniformBox`](super::UniformBox) has other bounds.

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor};

use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, check_shape, check_shape_size};
use crate::tensor::per_example::sum_event;

/// Uniform prior on the unit cube. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct Uniform {}

impl Uniform {
    /// The prior.
    pub fn new() -> Self {
        Self {}
    }
}

/// There is nothing to configure: the prior is its own configuration.
impl<const D: usize, C: Context> PriorConfig<D, C> for Uniform {
    type Prior = Self;

    fn build(&self, _: &Site<D, C>) -> Result<Self, ConfigError> {
        Ok(self.clone())
    }
}

impl<const D: usize, C: Context> Prior<D, C> for Uniform {
    fn log_prob(&self, z: Tensor<D>, _: &C) -> Tensor<1> {
        let outside = z.clone().lower_elem(0.0).bool_or(z.clone().greater_elem(1.0));
        sum_event(z.mul_scalar(0.0).mask_fill(outside, f32::NEG_INFINITY))
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        check_shape(check_shape_size("Uniform", &shape));
        let draws = Tensor::random(shape, Distribution::Uniform(0.0, 1.0), (device, dtype));
        draws.sub_scalar(0.5).mul_scalar(temperature).add_scalar(0.5)
    }
}

impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for Uniform {}
