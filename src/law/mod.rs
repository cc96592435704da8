//! Scalar laws: invertible functions of one number, with parameters that come from elsewhere.
//!
//! A law knows no layers. It acts on `x [batch, dims]` with parameters `theta [batch, params, dims]`, which a convolution with
//! `params * channels` outputs reshapes to without a copy. Couplings, elementwise layers and autoregressive layers share that layout.

pub mod affine;
pub mod any_law;
pub mod logistic_mixture;
pub mod mix_log_cdf;
pub mod rational_quadratic_spline;
mod upper_bound;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::error::ConfigError;
use crate::tensor::half::Half;
use crate::tensor::per_example::{flatten, sum_event};

pub use affine::{Affine, AffineConfig, AffineForm};
pub use any_law::{AnyLaw, AnyLawConfig};
pub use logistic_mixture::{LogisticMixture, Solution};
pub use mix_log_cdf::{MixLogCdf, MixLogCdfConfig};
pub use rational_quadratic_spline::{RationalQuadraticSpline, RationalQuadraticSplineConfig};

/// A configuration of a law: what a coupling, an elementwise or an autoregressive layer is configured with.
pub trait LawConfig {
    /// What it builds.
    type Law: Law;

    /// The law, or the first rule that the configuration breaks.
    fn build(&self) -> Result<Self::Law, ConfigError>;
}

/// An invertible, increasing function of one number.
///
/// ```text
/// forward   z = f(x; theta)       log_derivative = ln ∂z/∂x, elementwise, nats
/// ```
pub trait Law: Module + ModuleDisplay + 'static {
    /// Parameters for each number.
    fn n_params(&self) -> usize;

    /// Start of the law's parameters in every layer, unless the configuration of the network names another: one value
    /// for each parameter, `[n_params]`. The default is 0.
    ///
    /// A law with interchangeable components gives them different values here: where they are equal, so are their gradients, and no training
    /// would tell them apart.
    fn theta_init(&self) -> Vec<f64> {
        vec![0.0; self.n_params()]
    }

    /// Checks a start that the configuration of `network` names. A law with interchangeable components refuses a start
    /// at which two of them are equal, since training cannot separate them. The default accepts every start.
    ///
    /// # Errors
    /// [`ConfigError::EqualComponents`].
    fn check_init(&self, network: &'static str, theta: &[f64]) -> Result<(), ConfigError> {
        let _ = (network, theta);
        Ok(())
    }

    /// Whether `z` is an affine function of `x` for every theta. A layer of one element without a condition is then a
    /// normal distribution under a normal prior. The default is `false`.
    fn is_affine(&self) -> bool {
        false
    }

    /// Maps data to latents.
    ///
    /// # Shapes
    /// `x [batch, dims]`, `theta [batch, n_params, dims]` to `(z, log_derivative)`, both `[batch, dims]`.
    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>);

    /// The law on that half of the channels which is not `kept`, the other half unchanged, with its log-determinant. Serves couplings; a law
    /// that can do it in one pass overrides it.
    ///
    /// # Shapes
    /// `x [batch, channels, positions]`, `theta [batch, n_params, dims]` with the `dims` numbers of the half that changes to `z [batch, channels, positions]` and
    /// `[batch]`.
    fn forward_half(&self, x: Tensor<3>, theta: Tensor<3>, kept: Half) -> (Tensor<3>, Tensor<1>) {
        forward_half(self, x, theta, kept)
    }

    /// The inverse of [`Law::forward_half`].
    ///
    /// # Shapes
    /// As there.
    fn inverse_half(&self, z: Tensor<3>, theta: Tensor<3>, kept: Half) -> Tensor<3> {
        inverse_half(self, z, theta, kept)
    }

    /// Maps latents to data; elements without an inverse in this precision are NaN.
    ///
    /// # Shapes
    /// `z [batch, dims]`, `theta [batch, n_params, dims]` to `[batch, dims]`.
    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2>;

    /// [`Law::inverse`] with `ln ∂x/∂z`.
    fn inverse_with_log_derivative(&self, z: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let x = self.inverse(z, theta.clone());
        let (_, log_derivative) = self.forward(x.clone(), theta);
        (x, log_derivative.neg())
    }
}

/// [`Law::forward_half`] of any law.
pub(crate) fn forward_half<L: Law>(law: &L, x: Tensor<3>, theta: Tensor<3>, kept: Half) -> (Tensor<3>, Tensor<1>) {
    let (half, other) = kept.split(x);
    let dims = other.dims();
    let (z, log_derivative) = law.forward(flatten(other), theta);
    (kept.join(half, z.reshape(dims)), sum_event(log_derivative))
}

/// [`Law::inverse_half`] of any law.
pub(crate) fn inverse_half<L: Law>(law: &L, z: Tensor<3>, theta: Tensor<3>, kept: Half) -> Tensor<3> {
    let (half, other) = kept.split(z);
    let dims = other.dims();
    let x = law.inverse(flatten(other), theta);
    kept.join(half, x.reshape(dims))
}

/// Parameter `index` of every number: `[batch, params, dims]` to `[batch, dims]`.
pub(crate) fn parameter(theta: &Tensor<3>, index: usize) -> Tensor<2> {
    theta.clone().narrow(1, index, 1).squeeze_dim::<2>(1)
}
