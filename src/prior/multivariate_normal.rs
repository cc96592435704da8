//! Normal latents of vectors with a trained mean and a trained covariance.
//! ```text
//! u = e^a ⊙ L·(z − μ)                 ln p(z) = −½ Σ u² + Σ a − ½ D ln 2π
//! sample   μ + temperature·L⁻¹(e^−a ⊙ N(0, I))
//! covariance   (Aᵀ·A)⁻¹ with A = diag(e^a)·L
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `μ` | means | `[1, D]` | yes |
//! | `a` | logarithms of the diagonal of `A` | `[1, D]` | yes |
//! | `L` | lower triangle with ones on its diagonal; entries of the parameter on and above the diagonal have no effect | `[D, D]` | yes |
//!
//! Every covariance has exactly one such `A`, so the parameters take any values. It is initially
//! the standard normal distribution.
//!
//! # Numerics
//! Products are those of [`exact_product`](crate::kernel::exact_product), with no digits lost to
//! matrix units. `L⁻¹` is that of [`plu`].
//!
//! # Cost
//! `O(D²)` for a density or a sample, and `O(D³)` for `L⁻¹`, once for a batch of samples.

use std::f64::consts::PI;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};

use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape, check_shape_size};
use crate::kernel::exact_product::of_matrices;
use crate::kernel::plu;
use crate::tensor::graph::constant;
use crate::tensor::limit::{product, sum};
use crate::tensor::per_example::sum_event;

config! {
    /// Configuration of [`MultivariateNormal`]. It has no settings.
    #[derive(Debug)]
    pub struct MultivariateNormalConfig {}
}

impl MultivariateNormalConfig {
    /// Number of parameters of the prior for latents of shape `shape[1..]`, counted without
    /// building it.
    ///
    /// # Errors
    /// [`ConfigError::TooManyParameters`].
    pub fn num_params(&self, shape: [usize; 2]) -> Result<usize, ConfigError> {
        let dims = shape[1];
        let total = sum([product([dims, dims]), product([2, dims])]);
        ConfigError::parameters("MultivariateNormalConfig", total, [("dims", dims)])
    }
}

impl<C: Context> PriorConfig<2, C> for MultivariateNormalConfig {
    type Prior = MultivariateNormal;

    fn build(&self, site: &Site<2, C>) -> Result<Self::Prior, ConfigError> {
        self.num_params(site.shape())?;
        let (dims, device) = (site.shape()[1], site.device());
        Ok(MultivariateNormal {
            mean: Initializer::Zeros.init([1, dims], device),
            log_diagonal: Initializer::Zeros.init([1, dims], device),
            lower: Initializer::Zeros.init([dims, dims], device),
        })
    }
}

/// Normal prior with a trained mean and covariance. The formulas head this module.
#[derive(Module, Debug)]
pub struct MultivariateNormal {
    /// Means `μ`, `[1, D]`.
    pub mean: Param<Tensor<2>>,
    /// Logarithms `a` of the diagonal, `[1, D]`.
    pub log_diagonal: Param<Tensor<2>>,
    /// `L`, `[D, D]`, of which the entries below the diagonal count.
    pub lower: Param<Tensor<2>>,
}

impl MultivariateNormal {
    /// `L − I`.
    fn below(&self) -> Tensor<2> {
        self.lower.val().tril(-1)
    }

    /// `L⁻¹`.
    fn inverse(&self) -> Tensor<2> {
        let below = self.below();
        let [dims, _] = below.dims();
        let ones = Tensor::<1>::ones([dims], (&below.device(), below.dtype())).inner();
        let lower = below.clone().inner();
        let (inverse, _) = plu::inverses(lower.clone(), lower.zeros_like(), ones);
        if !below.is_autodiff() {
            return inverse;
        }
        // dX = −X·dL·X: the first order around this `L`, where the difference is 0.
        let inverse = constant(inverse, &below.device());
        let change = below.clone() - below.detach();
        let first_order = of_matrices(of_matrices(inverse.clone(), change), inverse.clone());
        inverse - first_order
    }
}

impl<C: Context> Prior<2, C> for MultivariateNormal {
    fn log_prob(&self, z: Tensor<2>, _: &C) -> Tensor<1> {
        check_shape(Prior::<2, C>::check(self, z.dims()));
        let dims = z.dims();
        let centred = z - self.mean.val();
        let mixed = centred.clone() + of_matrices(centred, self.below().transpose());
        let log_diagonal = self.log_diagonal.val();
        let u = mixed * log_diagonal.clone().exp();
        let terms = u.square().mul_scalar(-0.5) + log_diagonal.expand(dims);
        sum_event(terms.sub_scalar(0.5 * (2.0 * PI).ln()))
    }

    fn sample(
        &self,
        shape: [usize; 2],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<2> {
        check_shape(check_shape_size("MultivariateNormal", &shape));
        check_shape(Prior::<2, C>::check(self, shape));
        let draws = Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), (device, dtype));
        let scaled = draws.mul_scalar(temperature) * self.log_diagonal.val().neg().exp();
        of_matrices(scaled, self.inverse().transpose()) + self.mean.val()
    }

    fn check(&self, shape: [usize; 2]) -> Result<(), ShapeError> {
        check_event("MultivariateNormal", &self.mean.lazy_shape()[1..], shape).map(drop)
    }
}

impl<C: Context> ReparametrisedPrior<2, C> for MultivariateNormal {}
