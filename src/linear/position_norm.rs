//! Normalisation per position: a scale and a shift for every element of an example, started from data. The elementwise affine layer.
//! ```text
//! forward   z = x·exp(g) + b               inverse   x = (z − b)·exp(−g)
//! log_det   Σ g
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `g` | log-scale | `[1, ...]`, an example | yes |
//! | `b` | shift | `[1, ...]`, an example | yes |
//!
//! # Start
//! `g = −½ ln(var + v)`, `b = −mean·exp(g)` over the batch alone, biased. `v` is `variance_floor`: at a position that is constant in the
//! batch (a border of MNIST) it bounds the scale by `v^−½`.
//!
//! # Reference
//! The norm of Flow++'s released code, which differs from Glow's by not sharing over space. Differs: the code trains `exp(g)` itself and
//! cuts it at 1e-10, where the gradient vanishes; a log-scale needs no cut. Its `v` is 1e-8.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use super::matrix::condition_number_of_scales;
use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::parameter;

/// Configuration of [`PositionNorm`].
#[derive(Config, Debug)]
pub struct PositionNormConfig {
    /// What is added to the variance at the start.
    #[config(default = 1e-8)]
    pub variance_floor: f64,
}

impl PositionNormConfig {
    /// Whether the configuration describes a bijector.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.variance_floor > 0.0 && self.variance_floor.is_finite() {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            config: "PositionNormConfig",
            field: "variance_floor",
            range: "(0, ∞)",
            found: self.variance_floor,
        })
    }

    /// The bijector for examples of shape `shape[1..]`, as the identity until it is started from data.
    ///
    /// # Panics
    /// If [`PositionNormConfig::validate`] is an error.
    pub fn init<const D: usize>(&self, shape: [usize; D], device: &Device) -> PositionNorm<D> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let mut one = shape;
        one[0] = 1;
        PositionNorm {
            log_scale: Initializer::Zeros.init(one, device),
            bias: Initializer::Zeros.init(one, device),
            variance_floor: self.variance_floor,
        }
    }
}

/// Normalisation per position. The formulas head this module.
#[derive(Module, Debug)]
pub struct PositionNorm<const D: usize> {
    /// Log-scale `g`, `[1, ...]`.
    pub log_scale: Param<Tensor<D>>,
    /// Shift `b`, `[1, ...]`.
    pub bias: Param<Tensor<D>>,
    variance_floor: f64,
}

impl<const D: usize> PositionNorm<D> {
    /// The largest over the smallest scale, `exp(max g − min g)`, on the host: the condition number of the layer as a matrix.
    pub fn condition_number(&self) -> f64 {
        condition_number_of_scales(self.log_scale.val())
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for PositionNorm<D> {
    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(Bijector::<D, C>::output_shape(self, x.dims()));
        let batch = x.dims()[0];
        let log_scale = self.log_scale.val();
        let log_det = log_scale.clone().sum().expand([batch]);
        (x * log_scale.exp() + self.bias.val(), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(Bijector::<D, C>::input_shape(self, z.dims()));
        (z - self.bias.val()) * self.log_scale.val().neg().exp()
    }

    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let own = self.bias.lazy_shape();
        for axis in 1..D {
            if shape[axis] != own[axis] {
                return Err(ShapeError::Axis {
                    layer: "PositionNorm",
                    axis,
                    expected: own[axis],
                    shape: shape.to_vec(),
                });
            }
        }
        Ok(shape)
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        let data = x.clone().inner();
        let mean = data.clone().mean_dim(0);
        let variance = (data - mean.clone()).square().mean_dim(0);
        let log_scale = variance.add_scalar(self.variance_floor).log().mul_scalar(-0.5);
        let started = Self {
            bias: parameter::set(self.bias, mean.neg() * log_scale.clone().exp()),
            log_scale: parameter::set(self.log_scale, log_scale),
            variance_floor: self.variance_floor,
        };
        let (z, _) = started.forward(x, context);
        (started, z.detach())
    }
}
