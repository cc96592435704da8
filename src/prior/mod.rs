//! Distributions of the latents.

pub mod conditional_normal;
pub mod diagonal_normal;
pub mod normal_mixture;
pub mod standard_normal;
pub mod uniform;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor};

pub use conditional_normal::{ConditionalNormal, ConditionalNormalConfig};
pub use diagonal_normal::DiagonalNormal;
pub use normal_mixture::{NormalMixture, NormalMixtureConfig};
pub use standard_normal::StandardNormal;
pub use uniform::Uniform;

use crate::bijector::Site;
use crate::conditioner::Net;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};

/// A distribution over tensors with `D` axes, the first of them the batch, given a condition `C`.
///
/// A prior without a condition is implemented for every `C` and ignores it, as a
/// [`Bijector`](crate::Bijector) is.
pub trait Prior<const D: usize, C: Context = ()>: Module + ModuleDisplay {
    /// `ln p(z | context)` in nats.
    ///
    /// # Shapes
    /// `[batch, ...]` to `[batch]`.
    fn log_prob(&self, z: Tensor<D>, context: &C) -> Tensor<1>;

    /// Draws from the prior, its spread about the mean multiplied by `temperature`.
    ///
    /// # Panics
    /// With the text of [`ShapeError`], for a shape that does not fit the prior, or with more
    /// elements than a tensor may have.
    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        context: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D>;

    /// Data-dependent start, from the latents that the bijector makes of a first batch. The default
    /// serves priors that take nothing from data.
    fn initialize(self, z: Tensor<D>, context: &C) -> Self {
        let _ = (z, context);
        self
    }

    /// Whether the prior knows latents of this shape, batch axis included. The default serves
    /// priors of any shape.
    ///
    /// # Errors
    /// The axis that does not fit.
    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        let _ = shape;
        Ok(())
    }

    /// [`Prior::check`] beside an actual condition. The default serves priors that ignore the
    /// condition.
    ///
    /// # Errors
    /// The axis that does not fit, of the latents or of the condition.
    fn check_given(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        let _ = context;
        self.check(shape)
    }
}

/// A prior whose samples depend on its parameters by a differentiable function of noise that does
/// not: their gradients are those of the samples' expectations. A mixture, which chooses a
/// component for each sample, is none.
pub trait ReparametrisedPrior<const D: usize, C: Context = ()>: Prior<D, C> {}

impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for StandardNormal {}
impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for DiagonalNormal<D> {}
impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for Uniform {}
impl<const D: usize, const K: usize, N: Net<K>> ReparametrisedPrior<D, Tensor<K>>
    for ConditionalNormal<N>
{
}

/// A configuration of a prior. A prior without parameters is its own configuration.
pub trait PriorConfig<const D: usize, C: Context = ()> {
    /// What it builds.
    type Prior: Prior<D, C>;

    /// The prior of latents of the site's shape.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn build(&self, site: &Site<D, C>) -> Result<Self::Prior, ConfigError>;
}
