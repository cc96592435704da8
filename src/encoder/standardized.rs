//! Standardisation of the input of an encoder: each feature gets mean 0 and variance 1, by numbers
//! that are fixed when the flow is initialised.
//! ```text
//! y = (x − m)·s               code = encoder(y)
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `m` | mean of the feature | `[1, n, 1, ...]`; of sets `[1, 1, n]` | no |
//! | `s` | reciprocal of its deviation | the same | no |
//!
//! The features are those along [`Encoder::FEATURE_AXIS`]: the elements of a vector, the elements
//! of a set's members, the channels of a series or an image.
//!
//! # Initialisation
//! Mean and deviation are those of the first batch, over all other axes, computed in float64. Until
//! then `m = 0` and `s = 1`. For a feature that is constant in the batch see [`ConstantChannel`]; a
//! single value has no deviation, and initialisation returns an error.
//!
//! # Numerics
//! `m` is rounded to the type of the parameter. The difference is exact where `x` is within a
//! factor of 2 of the mean, so data far from 0 loses nothing but the rounding of `m`. Only `y` is
//! cast to the type of the network: a half-precision type would not hold `x`.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::encoder::{Encoder, EncoderConfig, StandardizedConfig, Unchanged};
//! use flowkit::Site;
//!
//! let device = Device::flex();
//! let x = Tensor::<2>::from_data([[100.0, 5.0], [300.0, 5.0]], &device);
//! let config = StandardizedConfig::new(Unchanged::new());
//! let encoder = config.build(&Site::new([1, 2], &device))?;
//! let (encoder, _) = encoder.initialize(x.clone());
//! // The second feature is constant: it is centred.
//! let code = encoder.encode(x).into_data();
//! code.assert_approx_eq::<f32>(&[[-1.0, 0.0], [1.0, 0.0]].into(), Default::default());
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Encoder, EncoderConfig, Encoding, check_axis};
use crate::bijector::Site;
use crate::context::ContextShape;
use crate::error::{ConfigError, InitProblem, ShapeError};
use crate::linear::ConstantChannel;
use crate::linear::standardize::Standardize;
use crate::tensor::limit::{product, sum};
use crate::tensor::moments::Moments;
use crate::tensor::parameter;

/// Configuration of [`Standardized`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandardizedConfig<N> {
    /// The encoder of the standardised input.
    pub net: N,
    /// How a feature that is constant in the first batch is initialised.
    #[serde(default = "bounded")]
    pub constant: ConstantChannel,
}

fn bounded() -> ConstantChannel {
    ConstantChannel::Bounded
}

impl<N: Config> Config for StandardizedConfig<N> {}

impl<N> StandardizedConfig<N> {
    /// Standardisation before the encoder `net`; constant features are
    /// [bounded](ConstantChannel::Bounded).
    pub fn new(net: N) -> Self {
        Self { net, constant: bounded() }
    }

    /// The same with another rule for constant features.
    pub fn with_constant(self, constant: ConstantChannel) -> Self {
        Self { constant, ..self }
    }
}

impl<const D: usize, N: EncoderConfig<D>> EncoderConfig<D> for StandardizedConfig<N> {
    type Encoder = Standardized<N::Encoder, D>;

    fn context(&self, site: &Site<D>) -> Result<ContextShape, ConfigError> {
        self.net.context(site).map_err(|error| error.at(".net"))
    }

    fn build(&self, site: &Site<D>) -> Result<Self::Encoder, ConfigError> {
        self.num_params(site)?;
        let net = self.net.build(site).map_err(|error| error.at(".net"))?;
        let mut shape = [1; D];
        shape[N::Encoder::FEATURE_AXIS] = site.shape()[N::Encoder::FEATURE_AXIS];
        let standardize = Standardize { constant: self.constant, least_deviation: 0.0 };
        Ok(Standardized {
            mean: Initializer::Zeros.init(shape, site.device()),
            scale: Initializer::Ones.init(shape, site.device()),
            net: Encoding::new(net),
            standardize,
        })
    }

    fn num_params(&self, site: &Site<D>) -> Result<usize, ConfigError> {
        site.elements("Standardized")?;
        let net = self.net.num_params(site).map_err(|error| error.at(".net"))?;
        let features = site.shape()[N::Encoder::FEATURE_AXIS];
        let total = sum([net, product([2, features])]);
        ConfigError::parameters("StandardizedConfig", total, [("features", features)])
    }
}

/// An encoder of standardised input. The formulas head this module.
#[derive(Module, Debug)]
pub struct Standardized<N, const D: usize> {
    /// Mean `m` of each feature.
    pub mean: Param<Tensor<D>>,
    /// Factor `s` of each feature.
    pub scale: Param<Tensor<D>>,
    /// The encoder of the standardised input.
    pub net: Encoding<N>,
    #[module(skip)]
    standardize: Standardize,
}

impl<N: Encoder<D>, const D: usize> Standardized<N, D> {
    /// `(x − m)·s`. The numbers are not trained: they are detached from the graph.
    fn standardized(&self, x: Tensor<D>) -> Tensor<D> {
        (x - self.mean.val().detach()) * self.scale.val().detach()
    }

    /// Moments of each feature.
    fn moments(x: &Tensor<D>) -> Moments {
        Moments::of_channels(&x.clone().swap_dims(1, N::FEATURE_AXIS))
    }
}

impl<const D: usize, N: Encoder<D>> Encoder<D> for Standardized<N, D> {
    type Code = N::Code;
    const FEATURE_AXIS: usize = N::FEATURE_AXIS;

    fn encode(&self, x: Tensor<D>) -> N::Code {
        self.net.encode(self.standardized(x))
    }

    fn initialize(self, x: Tensor<D>) -> (Self, N::Code) {
        let moments = Self::moments(&x);
        let log_scales = self.standardize.log_scales(&moments, |deviation| deviation);
        let scales = log_scales.into_iter().map(f64::exp).collect();
        let own = Self {
            scale: parameter::set_values(self.scale, scales),
            mean: parameter::set_values(self.mean, moments.mean),
            ..self
        };
        let y = own.standardized(x);
        let (net, code) = own.net.initialize(y);
        (Self { net, ..own }, code)
    }

    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        let axis = N::FEATURE_AXIS;
        check_axis("Standardized", shape, axis, self.mean.lazy_shape()[axis])?;
        self.net.check(shape)
    }

    fn init_problem(&self, x: &Tensor<D>) -> Option<InitProblem> {
        let own = self.standardize.problem(&Self::moments(x), "feature");
        own.or_else(|| self.net.init_problem(&self.standardized(x.clone())))
    }
}
