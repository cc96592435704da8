//! A law that a configuration chooses.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    Affine, AffineConfig, Law, LawConfig, MixLogCdf, MixLogCdfConfig, RationalQuadraticSpline,
    RationalQuadraticSplineConfig,
};
use crate::error::ConfigError;

/// Configuration of [`AnyLaw`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AnyLawConfig {
    /// Scale and shift.
    Affine(AffineConfig),
    /// Logistic mixture's distribution function, its logit, scale and shift.
    MixLogCdf(MixLogCdfConfig),
    /// Monotone rational-quadratic spline.
    RationalQuadraticSpline(RationalQuadraticSplineConfig),
}

impl AnyLawConfig {
    /// Whether the configuration describes a law.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Affine(_) => Ok(()),
            Self::MixLogCdf(config) => config.validate(),
            Self::RationalQuadraticSpline(config) => config.validate(),
        }
    }

    /// The law.
    ///
    /// # Panics
    /// If [`AnyLawConfig::validate`] is an error.
    pub fn init(&self) -> AnyLaw {
        match self {
            Self::Affine(config) => AnyLaw::Affine(config.init()),
            Self::MixLogCdf(config) => AnyLaw::MixLogCdf(config.init()),
            Self::RationalQuadraticSpline(config) => AnyLaw::RationalQuadraticSpline(config.init()),
        }
    }
}

impl LawConfig for AnyLawConfig {
    type Law = AnyLaw;

    fn build(&self) -> Result<AnyLaw, ConfigError> {
        self.validate()?;
        Ok(self.init())
    }
}

impl From<AffineConfig> for AnyLawConfig {
    fn from(config: AffineConfig) -> Self {
        Self::Affine(config)
    }
}

impl From<MixLogCdfConfig> for AnyLawConfig {
    fn from(config: MixLogCdfConfig) -> Self {
        Self::MixLogCdf(config)
    }
}

impl From<RationalQuadraticSplineConfig> for AnyLawConfig {
    fn from(config: RationalQuadraticSplineConfig) -> Self {
        Self::RationalQuadraticSpline(config)
    }
}

/// One of the laws.
#[derive(Module, Debug)]
pub enum AnyLaw {
    /// Scale and shift.
    Affine(Affine),
    /// MixLogCDF.
    MixLogCdf(MixLogCdf),
    /// Monotone rational-quadratic spline.
    RationalQuadraticSpline(RationalQuadraticSpline),
}

impl Law for AnyLaw {
    fn n_params(&self) -> usize {
        match self {
            Self::Affine(law) => law.n_params(),
            Self::MixLogCdf(law) => law.n_params(),
            Self::RationalQuadraticSpline(law) => law.n_params(),
        }
    }

    fn theta_init(&self) -> Vec<f64> {
        match self {
            Self::Affine(law) => law.theta_init(),
            Self::MixLogCdf(law) => law.theta_init(),
            Self::RationalQuadraticSpline(law) => law.theta_init(),
        }
    }

    fn check_init(&self, network: &'static str, theta: &[f64]) -> Result<(), ConfigError> {
        match self {
            Self::Affine(law) => law.check_init(network, theta),
            Self::MixLogCdf(law) => law.check_init(network, theta),
            Self::RationalQuadraticSpline(law) => law.check_init(network, theta),
        }
    }

    fn is_affine(&self) -> bool {
        match self {
            Self::Affine(law) => law.is_affine(),
            Self::MixLogCdf(law) => law.is_affine(),
            Self::RationalQuadraticSpline(law) => law.is_affine(),
        }
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Affine(law) => law.forward(x, theta),
            Self::MixLogCdf(law) => law.forward(x, theta),
            Self::RationalQuadraticSpline(law) => law.forward(x, theta),
        }
    }

    fn forward_within(&self, x: Tensor<3>, theta: Tensor<3>, range: Range<usize>) -> (Tensor<3>, Tensor<1>) {
        match self {
            Self::Affine(law) => law.forward_within(x, theta, range),
            Self::MixLogCdf(law) => law.forward_within(x, theta, range),
            Self::RationalQuadraticSpline(law) => law.forward_within(x, theta, range),
        }
    }

    fn inverse_within(&self, z: Tensor<3>, theta: Tensor<3>, range: Range<usize>) -> Tensor<3> {
        match self {
            Self::Affine(law) => law.inverse_within(z, theta, range),
            Self::MixLogCdf(law) => law.inverse_within(z, theta, range),
            Self::RationalQuadraticSpline(law) => law.inverse_within(z, theta, range),
        }
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        match self {
            Self::Affine(law) => law.inverse(z, theta),
            Self::MixLogCdf(law) => law.inverse(z, theta),
            Self::RationalQuadraticSpline(law) => law.inverse(z, theta),
        }
    }

    fn inverse_with_log_derivative(&self, z: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Affine(law) => law.inverse_with_log_derivative(z, theta),
            Self::MixLogCdf(law) => law.inverse_with_log_derivative(z, theta),
            Self::RationalQuadraticSpline(law) => law.inverse_with_log_derivative(z, theta),
        }
    }
}
