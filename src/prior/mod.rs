//! Distributions over the latents.

pub mod conditional_normal;
pub mod diagonal_normal;
pub mod multivariate_normal;
pub mod normal_mixture;
pub mod normal_or_uniform;
pub mod standard_logistic;
pub mod standard_normal;
pub mod student_t;
pub mod uniform;
pub mod uniform_box;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor};

pub use conditional_normal::{ConditionalNormal, ConditionalNormalConfig};
pub use diagonal_normal::{DiagonalNormal, DiagonalNormalConfig};
pub use multivariate_normal::{MultivariateNormal, MultivariateNormalConfig};
pub use normal_mixture::{NormalMixture, NormalMixtureConfig};
pub use normal_or_uniform::{ElementPrior, NormalOrUniform, NormalOrUniformConfig};
pub use standard_logistic::StandardLogistic;
pub use standard_normal::StandardNormal;
pub use student_t::{StudentT, StudentTConfig};
pub use uniform::Uniform;
pub use uniform_box::{BoxBound, UniformBox, UniformBoxConfig};

use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};

/// A distribution over tensors with `D` axes, the first of which is the batch, given a condition
/// `C`.
///
/// A prior without a condition is implemented for every `C` and ignores it, as a
/// [`Bijector`](crate::Bijector) is.
pub trait Prior<const D: usize, C: Context = ()>: Module + ModuleDisplay {
    /// `ln p(z | context)`, in nats.
    ///
    /// # Shapes
    /// `z [batch, ...]` to `[batch]`.
    fn log_prob(&self, z: Tensor<D>, context: &C) -> Tensor<1>;

    /// Samples from the prior. `temperature` multiplies the deviation of the samples from their
    /// mean.
    ///
    /// # Panics
    /// With the text of [`ShapeError`], if the shape does not fit the prior or has more elements
    /// than a tensor may have.
    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        context: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D>;

    /// Data-dependent initialisation, from the latents that the bijector computes from a first
    /// batch. The default leaves the prior unchanged.
    fn initialize(self, z: Tensor<D>, context: &C) -> Self {
        let _ = (z, context);
        self
    }

    /// Checks that the prior accepts latents of this shape, which includes the batch axis. The
    /// default accepts every shape.
    ///
    /// # Errors
    /// The axis that does not fit.
    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        let _ = shape;
        Ok(())
    }

    /// [`Prior::check`] together with an actual condition. The default ignores the condition.
    ///
    /// # Errors
    /// The axis of the latents or of the condition that does not fit.
    fn check_given(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        let _ = context;
        self.check(shape)
    }
}

/// A prior whose samples are a differentiable function of its parameters and of noise that does not
/// depend on them. The gradient of a sample is then an estimate of the gradient of its expectation.
/// A mixture chooses a component for each sample and is therefore not such a prior.
pub trait ReparametrisedPrior<const D: usize, C: Context = ()>: Prior<D, C> {}

/// The configuration of a prior. A prior without parameters is its own configuration.
///
/// [`Flow::build`](crate::Flow::build) takes one and builds the prior for the output shape of the
/// layers. A reference to a configuration is a configuration too.
pub trait PriorConfig<const D: usize, C: Context = ()> {
    /// The prior that it builds.
    type Prior: Prior<D, C>;

    /// The prior of latents of the site's shape.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn build(&self, site: &Site<D, C>) -> Result<Self::Prior, ConfigError>;
}

impl<const D: usize, C: Context, T: PriorConfig<D, C> + ?Sized> PriorConfig<D, C> for &T {
    type Prior = T::Prior;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Prior, ConfigError> {
        (**self).build(site)
    }
}
