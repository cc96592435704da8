//! Activation normalisation: one shift and one scale per channel, initialised from data.
//! ```text
//! forward   z = (x + b)·exp(s)             inverse   x = z·exp(−s) − b
//! log_det   P·Σ_c s_c                      P positions per channel: H·W of an image, 1 of a vector
//! s = f·ℓ                                  f fixed, 1 unless configured
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `b` | shift | `[1, C, 1, ...]` | yes |
//! | `ℓ` | log-scale divided by `f` | `[1, C, 1, ...]` | yes |
//!
//! # Initialisation
//! `b = −mean`, `s = −ln(std + 1e-6·min(1, std))` over batch and positions. The standard deviation
//! is the biased one, computed in float64. `z` then has mean 0 and variance 1 per channel, at any
//! offset and scale of the data. A channel needs at least two elements, counted over batch and
//! positions: a single element has no variance, and initialisation returns an error. For a channel
//! that is constant in the batch see [`ConstantChannel`].
//!
//! Training then moves `b` in the units of the data: an Adam step of 1e-3 is small for data of
//! spread 1, and too large for data of spread 1e-4. Standardise such data before.
//!
//! # Numerics
//! `b` is minus the mean, rounded to the type of the parameter. `x + b` is exact where `x` is
//! within a factor of 2 of the mean. The absolute mean of `z` is therefore at most half the spacing
//! of floating-point values at the mean, divided by the deviation: 0.064 for seconds since 1970 in
//! float32 with a deviation of 1000. Centre such data before it is rounded to float32.
//!
//! # Reference
//! Kingma & Dhariwal 2018 §3.1. The released code has `f = 3`: an optimizer whose steps do not
//! depend on the magnitude of the gradient then changes the log-scale three times as fast. It
//! initialises `s = −ln(std + 1e-6)`. Differs: here 1e-6 is relative to deviations below 1, so data
//! of small scale also gets variance 1. In the released code 1e-6 serves constant channels, for
//! which there is a separate rule here.

use burn::module::{Initializer, ModuleDisplay, Param};
use burn::tensor::Tensor;

use super::matrix::condition_number_of_scales;
use super::standardize::{ConstantChannel, Standardize};
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, InitProblem, ShapeError, check_shape};
use crate::kernel::channel_affine;
use crate::tensor::limit::product;
use crate::tensor::marked_module::marked_module;
use crate::tensor::moments::Moments;
use crate::tensor::parameter;
use crate::tensor::per_example::log_det_of_scales;

config! {
    /// Configuration of [`ActNorm`].
    #[derive(Debug)]
    pub struct ActNormConfig {
        /// Factor `f` of the trained log-scale.
        pub log_scale_factor: f64 = 1.0,
        /// How a channel that is constant in the batch is initialised.
        pub constant: ConstantChannel = ConstantChannel::Bounded,
        /// Deviation up to which a channel counts as constant, in the unit of the data. At 0, a
        /// channel counts as constant only if it is constant up to rounding.
        pub least_deviation: f64 = 0.0,
    }
}

impl ActNormConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "ActNormConfig";
        let found = self.log_scale_factor;
        // Initialisation divides by it, and gradients are multiplied by it: far from both ends of
        // the range of float32.
        if !(1e-3..=1e3).contains(&found) {
            let (field, range) = ("log_scale_factor", "[1e-3, 1e3]");
            return Err(ConfigError::OutOfRange { config: NAME, field, range, found });
        }
        Standardize::validate(NAME, self.least_deviation)
    }

    /// Number of parameters of the layer for so many channels.
    pub(crate) fn num_params(&self, channels: usize) -> usize {
        product([2, channels])
    }
}

impl<const D: usize, C: Context> LayerConfig<D, C> for ActNormConfig {
    type Layer = ActNorm<D>;

    /// The bijector. It is the identity until it is initialised from data.
    fn build(&self, site: &Site<D, C>) -> Result<ActNorm<D>, ConfigError> {
        self.plan(site)?;
        let arriving = site.shape();
        let shape: [usize; D] = std::array::from_fn(|axis| if axis == 1 { arriving[1] } else { 1 });
        Ok(ActNorm {
            bias: Initializer::Zeros.init(shape, site.device()),
            log_scale: Initializer::Zeros.init(shape, site.device()),
            log_scale_factor: self.log_scale_factor,
            standardize: Standardize {
                constant: self.constant,
                least_deviation: self.least_deviation,
            },
        })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.validate()?;
        Ok(site.keeps(self.num_params(site.channels("ActNorm")?)))
    }
}

/// Activation normalisation. The formulas head this module.
#[derive(Debug, Clone)]
pub struct ActNorm<const D: usize> {
    /// Shift `b`, `[1, C, 1, ...]`.
    pub bias: Param<Tensor<D>>,
    /// Log-scale divided by its factor, `ℓ`, `[1, C, 1, ...]`.
    pub log_scale: Param<Tensor<D>>,
    log_scale_factor: f64,
    standardize: Standardize,
}

// Glow's networks have norms of this type.
marked_module! {
    WIDE: ActNorm [D], module [const D: usize], display [const D: usize],
    modules [bias, log_scale], others [log_scale_factor, standardize]
}

impl<const D: usize> ModuleDisplay for ActNorm<D> {}

impl<const D: usize> ActNorm<D> {
    fn n_channels(&self) -> usize {
        self.bias.lazy_shape()[1]
    }

    /// The log-scale `s`, `[1, C, 1, ...]`.
    pub fn effective_log_scale(&self) -> Tensor<D> {
        // A factor of 1 needs no multiplication.
        if self.log_scale_factor == 1.0 {
            self.log_scale.val()
        } else {
            self.log_scale.val() * self.log_scale_factor
        }
    }
}

impl<const D: usize> ActNorm<D> {
    /// The largest divided by the smallest scale, `exp(max s − min s)`, computed on the host: the
    /// condition number of the layer as a matrix.
    pub fn condition_number(&self) -> f64 {
        condition_number_of_scales(self.effective_log_scale())
    }
}

impl<const D: usize> ShapeMap<D> for ActNorm<D> {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let expected = self.n_channels();
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "ActNorm", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for ActNorm<D> {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let dims = x.dims();
        let positions: usize = dims[2..].iter().product();
        let log_scale = self.effective_log_scale();
        let weight = self.log_scale_factor * positions as f64;
        let log_det = log_det_of_scales(self.log_scale.val(), weight, dims[0]);
        let columns = x.reshape([dims[0], self.n_channels(), positions]);
        let [shift, scale] = [self.bias.val(), log_scale.exp()]
            .map(|channels| channels.reshape([self.n_channels()]));
        (channel_affine::forward(columns, shift, scale).reshape(dims), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        z * self.effective_log_scale().neg().exp() - self.bias.val()
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        check_shape(self.output_shape(x.dims()));
        let moments = Moments::of_channels(&x);
        let scales = self
            .standardize
            .log_scales(&moments, |deviation| deviation + 1e-6 * deviation.min(1.0));
        let log_scale = scales.into_iter().map(|scale| scale / self.log_scale_factor).collect();
        let shifts = moments.mean.iter().map(|mean| -mean).collect();
        let initialized = Self {
            bias: parameter::set_values(self.bias, shifts),
            log_scale: parameter::set_values(self.log_scale, log_scale),
            ..self
        };
        let z = initialized.forward(x, context).0.detach();
        let z =
            initialized.standardize.passed_on(&moments, initialized.bias.lazy_shape().dims(), z);
        (initialized, z)
    }

    fn init_problem(&self, x: &Tensor<D>, _: &C) -> Option<InitProblem> {
        self.standardize.problem(&Moments::of_channels(x), "channel")
    }
}
