//! Independent normal latents with mean 0 and variance 1.
//! ```text
//! ln p(z) = −½ Σ z² − ½ D ln 2π            sample   temperature·N(0, 1)
//! ```

use std::f64::consts::PI;

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor};

use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, check_shape, check_shape_size};
use crate::tensor::per_example::sum_event;

/// Standard normal prior. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct StandardNormal {}

impl StandardNormal {
    /// The prior.
    pub fn new() -> Self {
        Self {}
    }
}

/// There is nothing to configure: the prior is its own configuration.
impl<const D: usize, C: Context> PriorConfig<D, C> for StandardNormal {
    type Prior = Self;

    fn build(&self, _: &Site<D, C>) -> Result<Self, ConfigError> {
        Ok(self.clone())
    }
}

impl<const D: usize, C: Context> Prior<D, C> for StandardNormal {
    fn log_prob(&self, z: Tensor<D>, _: &C) -> Tensor<1> {
        let n: usize = z.dims()[1..].iter().product();
        sum_event(z.square()).mul_scalar(-0.5).sub_scalar(0.5 * n as f64 * (2.0 * PI).ln())
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        check_shape(check_shape_size("StandardNormal", &shape));
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), (device, dtype))
            .mul_scalar(temperature)
    }
}

impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for StandardNormal {}
