//! Independent normal latents with a trained mean and log-scale for each element.
//! ```text
//! ln p(z) = −Σ ( ½ ((z − μ)·exp(−s))² + s + ½ ln 2π )
//! sample    μ + temperature·exp(s)·N(0, 1)
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `μ` | means | `[1, ...]`, one example | yes |
//! | `s` | log-scales | `[1, ...]`, one example | yes |
//!
//! It is initially the standard normal distribution. `no_grad` of the module keeps it fixed.
//!
//! # Numerics
//! `exp(−s)` overflows float32 at `s < −88`.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{DiagonalNormalConfig, Prior, PriorConfig, Site};
//!
//! let site = Site::new([1, 2], &Device::flex());
//! let prior = DiagonalNormalConfig::new().build(&site)?;
//! let z = Tensor::<2>::from_data([[0.0, 1.0]], &Device::flex());
//! let nats = prior.log_prob(z, &()).into_scalar::<f32>();
//! assert!((nats + 0.5 + (2.0 * std::f32::consts::PI).ln()).abs() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use std::f64::consts::PI;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};

use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape, check_shape_size};
use crate::tensor::limit::{per_example, product};
use crate::tensor::per_example::sum_event;

config! {
    /// Configuration of [`DiagonalNormal`]. It has no settings.
    #[derive(Debug)]
    pub struct DiagonalNormalConfig {}
}

impl DiagonalNormalConfig {
    /// Number of parameters of the prior for latents of shape `shape[1..]`, counted without
    /// building it.
    ///
    /// # Errors
    /// [`ConfigError::TooManyParameters`].
    pub fn num_params<const D: usize>(&self, shape: [usize; D]) -> Result<usize, ConfigError> {
        let numbers = per_example(shape);
        let total = product([2, numbers]);
        ConfigError::parameters("DiagonalNormalConfig", total, [("shape", numbers)])
    }
}

impl<const D: usize, C: Context> PriorConfig<D, C> for DiagonalNormalConfig {
    type Prior = DiagonalNormal<D>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Prior, ConfigError> {
        self.num_params(site.shape())?;
        Ok(DiagonalNormal::new(site.shape(), site.device()))
    }
}

/// Normal prior with a trained mean and log-scale for each element. The formulas head this module.
#[derive(Module, Debug)]
pub struct DiagonalNormal<const D: usize> {
    /// Means `μ`, `[1, ...]`.
    pub mean: Param<Tensor<D>>,
    /// Log-scales `s`, `[1, ...]`.
    pub log_scale: Param<Tensor<D>>,
}

impl<const D: usize> DiagonalNormal<D> {
    /// The prior of latents of shape `shape[1..]`, initially the standard normal distribution.
    pub fn new(shape: [usize; D], device: &Device) -> Self {
        let mut one = shape;
        one[0] = 1;
        Self {
            mean: Initializer::Zeros.init(one, device),
            log_scale: Initializer::Zeros.init(one, device),
        }
    }
}

/// `Σ ln N(z; μ, e^s)` over all axes but the first.
pub(super) fn log_normal<const D: usize>(
    z: Tensor<D>,
    mean: Tensor<D>,
    log_scale: Tensor<D>,
) -> Tensor<1> {
    let scaled = (z - mean) * log_scale.clone().neg().exp();
    sum_event(scaled.square().mul_scalar(-0.5) - log_scale.add_scalar(0.5 * (2.0 * PI).ln()))
}

impl<const D: usize, C: Context> Prior<D, C> for DiagonalNormal<D> {
    fn log_prob(&self, z: Tensor<D>, _: &C) -> Tensor<1> {
        check_shape(Prior::<D, C>::check(self, z.dims()));
        let dims = z.dims();
        log_normal(z, self.mean.val().expand(dims), self.log_scale.val().expand(dims))
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        check_shape(check_shape_size("DiagonalNormal", &shape));
        check_shape(Prior::<D, C>::check(self, shape));
        let draws = Tensor::<D>::random(shape, Distribution::Normal(0.0, 1.0), (device, dtype));
        draws.mul_scalar(temperature) * self.log_scale.val().exp() + self.mean.val()
    }

    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        check_event("DiagonalNormal", &self.mean.lazy_shape()[1..], shape).map(drop)
    }
}

impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for DiagonalNormal<D> {}
