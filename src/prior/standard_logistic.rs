//! Independent logistic latents with mean 0 and scale 1, whose variance is `π²/3`.
//! ```text
//! ln p(z) = −Σ (ln(1 + e^z) + ln(1 + e^−z))         sample   temperature·ln(u/(1 − u))
//! ```
//! `u` is the middle of one of the `2^24` cells from which a device draws uniform numbers in
//! float32 (`2^53` in float64). So a sample is finite, at most 17.4 in size (37.5 in float64), and
//! its distribution is symmetric.
//!
//! Its tails are heavier than those of a normal distribution. Dinh et al. 2015 (NICE) use it for
//! images.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};

use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, check_shape, check_shape_size};
use crate::tensor::dtype::cast;
use crate::tensor::per_example::sum_event;
use crate::tensor::smooth::softplus;
use crate::tensor::uniform::Cells;

/// Standard logistic prior. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct StandardLogistic {}

impl StandardLogistic {
    /// The prior.
    pub fn new() -> Self {
        Self {}
    }
}

/// There is nothing to configure: the prior is its own configuration.
impl<const D: usize, C: Context> PriorConfig<D, C> for StandardLogistic {
    type Prior = Self;

    fn build(&self, _: &Site<D, C>) -> Result<Self, ConfigError> {
        Ok(self.clone())
    }
}

impl<const D: usize, C: Context> Prior<D, C> for StandardLogistic {
    fn log_prob(&self, z: Tensor<D>, _: &C) -> Tensor<1> {
        sum_event((softplus(z.clone()) + softplus(z.neg())).neg())
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        check_shape(check_shape_size("StandardLogistic", &shape));
        let draws = Cells::draw(shape, device, dtype);
        cast((draws.log_middle() - draws.log_rest()).mul_scalar(temperature), dtype)
    }
}

impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for StandardLogistic {}
