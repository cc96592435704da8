//! Normalisation per position: a scale and a shift for every element of an example, initialised
//! from data. This is the elementwise affine layer.
//! ```text
//! forward   z = x·exp(g) + b               inverse   x = (z − b)·exp(−g)
//! log_det   Σ g
//! computed  z = (x + c)·exp(g),  x = z·exp(−g) − c,  c = b·exp(−g)
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `g` | log-scale | `[1, ...]`, one example | yes |
//! | `b` | shift | `[1, ...]`, one example | yes |
//!
//! # Initialisation
//! `g = −½ ln(var + v)`, `b = −mean·exp(g)` over the batch alone, where `v` is `variance_floor`.
//! The variance is the biased one, computed in float64. `z` then has mean 0 and variance
//! `var/(var + v)`. A single example has no variance, and initialisation returns an error. For an
//! element that is constant in the batch (the border of MNIST) see [`ConstantChannel`].
//!
//! # Numerics
//! For data far from 0, `x·exp(g)` loses digits that `x + c` keeps: the sum is exact where `x` is
//! within a factor of 2 of the mean. `b` is initialised such that `c` is as near to minus the mean
//! as the rounding of `b` and `exp(−g)` allows. The absolute mean of `z` is then at most one and a
//! half times the spacing of floating-point values at the mean, divided by the deviation.
//!
//! # Reference
//! The norm of Flow++'s released code. Unlike Glow's, it does not share parameters over space.
//! Differs: the released code trains `exp(g)` itself and clamps it at 1e-10, where the gradient
//! vanishes; a log-scale needs no clamp. Its `v` is 1e-8.

use burn::module::{Initializer, Module, Param};
use burn::tensor::Tensor;

use super::matrix::condition_number_of_scales;
use super::standardize::{ConstantChannel, Standardize};
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, InitProblem, ShapeError, check_shape};
use crate::tensor::limit::product;
use crate::tensor::moments::{Moments, on_device};
use crate::tensor::parameter;
use crate::tensor::per_example::log_det_of_scales;

config! {
    /// Configuration of [`PositionNorm`].
    #[derive(Debug)]
    pub struct PositionNormConfig {
        /// Constant `v` that is added to the variance at initialisation.
        pub variance_floor: f64 = 1e-8,
        /// How an element that is constant in the batch is initialised.
        pub constant: ConstantChannel = ConstantChannel::Bounded,
        /// Deviation up to which an element counts as constant, in the unit of the data. At 0, an
        /// element counts as constant only if it is constant up to rounding.
        pub least_deviation: f64 = 0.0,
    }
}

impl PositionNormConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "PositionNormConfig";
        let found = self.variance_floor;
        if !(found > 0.0 && found.is_finite()) {
            return Err(ConfigError::OutOfRange {
                config: NAME,
                field: "variance_floor",
                range: "(0, ∞)",
                found,
            });
        }
        Standardize::validate(NAME, self.least_deviation)
    }

    /// Number of parameters of the layer for examples of so many elements.
    pub(crate) fn num_params(&self, elements: usize) -> Result<usize, ConfigError> {
        ConfigError::parameters("PositionNormConfig", product([2, elements]), [("shape", elements)])
    }
}

impl<const D: usize, C: Context> LayerConfig<D, C> for PositionNormConfig {
    type Layer = PositionNorm<D>;

    /// The bijector. It is the identity until it is initialised from data.
    fn build(&self, site: &Site<D, C>) -> Result<PositionNorm<D>, ConfigError> {
        self.plan(site)?;
        Ok(PositionNorm {
            log_scale: Initializer::Zeros.init(site.shape(), site.device()),
            bias: Initializer::Zeros.init(site.shape(), site.device()),
            variance_floor: self.variance_floor,
            standardize: Standardize {
                constant: self.constant,
                least_deviation: self.least_deviation,
            },
        })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.validate()?;
        Ok(site.keeps(self.num_params(site.elements("PositionNorm")?)?))
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
    #[module(skip)]
    standardize: Standardize,
}

impl<const D: usize> PositionNorm<D> {
    /// The shift that is added to `x`: `c = b·exp(−g)`.
    fn shift(&self) -> Tensor<D> {
        self.bias.val() * self.log_scale.val().neg().exp()
    }

    /// The largest divided by the smallest scale, `exp(max g − min g)`, computed on the host: the
    /// condition number of the layer as a matrix.
    pub fn condition_number(&self) -> f64 {
        condition_number_of_scales(self.log_scale.val())
    }
}

impl<const D: usize> ShapeMap<D> for PositionNorm<D> {
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
}

impl<const D: usize, C: Context> Bijector<D, C> for PositionNorm<D> {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let batch = x.dims()[0];
        let log_scale = self.log_scale.val();
        let log_det = log_det_of_scales(log_scale.clone(), 1.0, batch);
        ((x + self.shift()) * log_scale.exp(), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        z * self.log_scale.val().neg().exp() - self.shift()
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        check_shape(self.output_shape(x.dims()));
        let moments = Moments::of_elements(&x);
        let scales = self.standardize.log_scales(&moments, |deviation| {
            deviation.mul_add(deviation, self.variance_floor).sqrt()
        });
        let mut initialized =
            Self { log_scale: parameter::set_values(self.log_scale, scales), ..self };
        let log_scale = initialized.log_scale.val().inner();
        let shift = moments.mean.iter().map(|mean| -mean).collect();
        let shift = on_device(shift, log_scale.dims(), &log_scale.device(), log_scale.dtype());
        let (scale, back) = (log_scale.clone().exp(), log_scale.neg().exp());
        let mut bias = shift.clone() * scale.clone();
        // The scale and its reciprocal are rounded. After two corrections `b·exp(−g)` is as near to
        // the shift as the spacing of `b` allows.
        for _ in 0..2 {
            bias = bias.clone() + (shift.clone() - bias * back.clone()) * scale.clone();
        }
        initialized.bias = parameter::set(initialized.bias, bias);
        let z = initialized.forward(x, context).0.detach();
        let z =
            initialized.standardize.passed_on(&moments, initialized.bias.lazy_shape().dims(), z);
        (initialized, z)
    }

    fn init_problem(&self, x: &Tensor<D>, _: &C) -> Option<InitProblem> {
        self.standardize.problem(&Moments::of_elements(x), "element")
    }
}
