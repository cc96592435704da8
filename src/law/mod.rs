//! Scalar laws: invertible functions of one element. Their parameters are inputs, which a network
//! computes or a layer trains.
//!
//! A law does not depend on layers. It acts on `x [batch, dims]`, examples of `dims` elements, with
//! parameters `theta [batch, params, dims]`. The output of a convolution with `params * channels`
//! output channels has this layout without a copy. Couplings, elementwise layers and autoregressive
//! layers all use laws.

pub mod affine;
pub mod any_law;
pub mod bernstein;
pub mod categorical;
pub mod choice;
pub mod circular_spline;
mod components;
pub mod floored_affine;
pub mod gaussianization;
pub mod mix_log_cdf;
pub mod rational_quadratic_spline;
pub mod soft_clip_spline;
mod upper_bound;

use std::ops::Range;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::error::ConfigError;
use crate::tensor::channels::map_within;
use crate::tensor::per_example::{flatten, sum_event};

pub use affine::{Affine, AffineConfig};
pub use any_law::{AnyLaw, AnyLawConfig};
pub use bernstein::{Bernstein, BernsteinConfig};
pub use categorical::{Categorical, CategoricalConfig};
pub use circular_spline::{CircularSpline, CircularSplineConfig};
pub use floored_affine::{FlooredAffine, FlooredAffineConfig, ScaleForm};
pub use gaussianization::{Gaussianization, GaussianizationConfig};
pub use mix_log_cdf::{MixLogCdf, MixLogCdfConfig};
pub use rational_quadratic_spline::{RationalQuadraticSpline, RationalQuadraticSplineConfig};
pub use soft_clip_spline::{SoftClipSpline, SoftClipSplineConfig};

pub use crate::kernel::affine_coupling::AffineForm;
pub use crate::kernel::mixture_logistic::{LogisticMixture, Solution};

/// The configuration of a law: a field of the configuration of a coupling, an elementwise layer or
/// an autoregressive layer.
pub trait LawConfig {
    /// The law that it builds.
    type Law: Law;

    /// The law.
    ///
    /// # Errors
    /// The first rule that the configuration breaks.
    fn build(&self) -> Result<Self::Law, ConfigError>;
}

/// An invertible, increasing function of one element.
///
/// ```text
/// forward   z = f(x; theta)       log_derivative = ln ∂z/∂x, elementwise, nats
/// ```
pub trait Law: Module + ModuleDisplay + 'static {
    /// Number of parameters of each element.
    fn n_params(&self) -> usize;

    /// Initial parameters of the law in every layer, unless the configuration of the layer sets
    /// others: one value for each parameter, `[n_params]`. The default is 0.
    ///
    /// A law with interchangeable components must give them different values here: equal components
    /// have equal gradients, so training would never separate them.
    fn theta_init(&self) -> Vec<f64> {
        vec![0.0; self.n_params()]
    }

    /// Checks initial parameters that the configuration `network` sets. A law with interchangeable
    /// components refuses parameters in which two components are equal, since training cannot
    /// separate them. The default accepts all parameters.
    ///
    /// # Errors
    /// [`ConfigError::EqualComponents`].
    fn check_init(&self, network: &'static str, theta: &[f64]) -> Result<(), ConfigError> {
        let _ = (network, theta);
        Ok(())
    }

    /// Whether `z` is an affine function of `x` for every theta. Under a normal prior, an
    /// autoregressive layer of a single element without a condition can then only represent a
    /// normal distribution; it is an error. The default is `false`.
    fn is_affine(&self) -> bool {
        false
    }

    /// Maps data to latents.
    ///
    /// # Shapes
    /// `x [batch, dims]`, `theta [batch, n_params, dims]` to `(z, log_derivative)`, both
    /// `[batch, dims]`.
    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>);

    /// Applies the law to the channels in `range` and leaves the other channels unchanged. Returns
    /// the log-determinant of the whole map, in nats. A law that can do this in one pass overrides
    /// the method.
    ///
    /// # Shapes
    /// `x [batch, channels, positions]`, `theta [batch, n_params, range·positions]` to
    /// `z [batch, channels, positions]` and `[batch]`.
    fn forward_within(
        &self,
        x: Tensor<3>,
        theta: Tensor<3>,
        range: Range<usize>,
    ) -> (Tensor<3>, Tensor<1>) {
        map_within(x, range, |x| {
            let dims = x.dims();
            let (z, log_derivative) = self.forward(flatten(x), theta);
            (z.reshape(dims), sum_event(log_derivative))
        })
    }

    /// The inverse of [`Law::forward_within`].
    ///
    /// # Shapes
    /// Those of [`Law::forward_within`], without the log-determinant.
    fn inverse_within(&self, z: Tensor<3>, theta: Tensor<3>, range: Range<usize>) -> Tensor<3> {
        map_within(z, range, |z| {
            let dims = z.dims();
            (self.inverse(flatten(z), theta).reshape(dims), ())
        })
        .0
    }

    /// Maps latents to data. An element without an inverse in this precision is NaN.
    ///
    /// # Shapes
    /// `z [batch, dims]`, `theta [batch, n_params, dims]` to `[batch, dims]`.
    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2>;

    /// [`Law::inverse`] together with `ln ∂x/∂z`.
    ///
    /// # Shapes
    /// `z [batch, dims]`, `theta [batch, n_params, dims]` to `(x, log_derivative)`, both
    /// `[batch, dims]`.
    fn inverse_with_log_derivative(
        &self,
        z: Tensor<2>,
        theta: Tensor<3>,
    ) -> (Tensor<2>, Tensor<2>) {
        let x = self.inverse(z, theta.clone());
        let (_, log_derivative) = self.forward(x.clone(), theta);
        (x, log_derivative.neg())
    }
}
