//! Gaussianization: the distribution function of a mixture of logistic distributions, then the
//! quantile of the standard normal distribution.
//! ```text
//! theta = (ℓ_1..K, μ_1..K, s_1..K)      s̄_k as in `MixLogCdf`: bounded on both sides
//! F(x) = Σ_k π_k σ((x − μ_k)·e^−s̄_k)    π = softmax(ℓ)
//! forward   z = Φ⁻¹(F(x))
//! log_derivative   ln F′(x) − ln φ(z)   φ: the density of the standard normal distribution
//! inverse   x = F⁻¹(Φ(z))
//! ```
//! If `x` has the distribution `F`, then `z` has the standard normal one: an
//! [`Elementwise`](crate::Elementwise) layer of this law with a standard normal prior is a mixture
//! model of each element by itself. Rotations between such layers mix the elements; a deep stack is
//! the Gaussianization flow of the reference. In a coupling the mixture depends on other elements.
//!
//! # Initialisation
//! The components of [`MixLogCdf`](super::MixLogCdf), scaled to a variance of 1: their means are
//! apart, and the law is within 0.09 of the identity for `|x| ≤ 2`. No theta gives the identity,
//! since the tails of logistic distributions are heavier than normal ones: `z` grows as
//! `√(2x·e^−s̄)`. At theta = 0 all components are equal, so training would never separate them.
//!
//! # Numerics
//! No probability is ever formed. The kernels of
//! [`mixture_logistic`] compute `t = ln F − ln(1 − F)` in log
//! space, and `z` is a fixed function of `t`, which is computed from `ln(1 + e^t)` in either tail:
//! ```text
//! z = Φ⁻¹(σ(t))     log_derivative = ln ∂t/∂x − ln(1 + e^−|t|) − ln(|z| + S(|z|))
//! ```
//! with `S(z) = φ(z)/Φ(−z) − z`, a sum of terms of one size. `z` has every digit of its type up to
//! the largest `t`, which is `z = 1e19` in float32; a distribution function that is rounded to 1
//! ends at `z = 5.4` there. The inverse computes `t = ln Φ(z) − ln Φ(−z)` alike, and the kernel's
//! bracketed search finds `x`.
//!
//! # Cost
//! That of [`MixLogCdf`](super::MixLogCdf), and some 150 products for each element, whatever `K`
//! is.
//!
//! # Reference
//! Chen & Gopinath 2000, *Gaussianization*; Meng et al. 2020, *Gaussianization Flows*, §3.1.
//! Differs: log-scales are bounded, as in [`MixLogCdf`](super::MixLogCdf).
//!
//! # Example
//! A Gaussianization flow alternates this law with rotations:
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::law::GaussianizationConfig;
//! use flowkit::{Density, ElementwiseConfig, Flow, HouseholderConfig, StandardNormal};
//!
//! let step = (ElementwiseConfig::new(GaussianizationConfig::new(6)), HouseholderConfig::new(3));
//! let (layers, device) = (vec![step; 4], Device::flex());
//! let x = Tensor::<2>::random([64, 3], Distribution::Normal(0.0, 1.0), &device);
//! let flow = Flow::build(&layers, StandardNormal::new(), [1, 3], &device)?.without_data();
//! assert_eq!(flow.evaluate(x)?.nats().len(), 64);
//! assert_eq!(flow.sample(5)?.dims(), [5, 3]);
//! # Ok::<(), flowkit::Error>(())
//! ```

use std::f64::consts::PI;

use burn::module::Module;
use burn::tensor::Tensor;

use super::components::Components;
use super::upper_bound::bounded;
use super::{Law, LawConfig};
use crate::error::ConfigError;
use crate::kernel::mixture_logistic;
use crate::tensor::probit::{logit_of_probit, probit_of_logit};

config! {
    /// Configuration of [`Gaussianization`].
    #[derive(Debug)]
    pub struct GaussianizationConfig {
        /// Number of components `K` of the mixture.
        pub n_components: usize,
        /// Smallest log-scale.
        pub min_log_scale: f64 = -7.0,
        /// Upper bound of the log-scales, in `[max(2, min_log_scale), 80]`. It acts smoothly on
        /// log-scales above `max_log_scale − 2`. `None`: no bound.
        pub max_log_scale: Option<f64> = Some(7.0),
    }
}

impl GaussianizationConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { n_components: k, min_log_scale, max_log_scale } = *self;
        Components { k, min_log_scale, max_log_scale }.validate("GaussianizationConfig")
    }
}

impl LawConfig for GaussianizationConfig {
    type Law = Gaussianization;

    fn build(&self) -> Result<Gaussianization, ConfigError> {
        self.validate()?;
        let Self { n_components, min_log_scale, max_log_scale } = *self;
        Ok(Gaussianization { n_components, min_log_scale, max_log_scale })
    }
}

/// The normal quantile of a logistic mixture's distribution function. The formulas head this
/// module.
#[derive(Module, Debug)]
pub struct Gaussianization {
    n_components: usize,
    min_log_scale: f64,
    max_log_scale: Option<f64>,
}

impl Gaussianization {
    fn components(&self) -> Components {
        let Self { n_components: k, min_log_scale, max_log_scale } = *self;
        Components { k, min_log_scale, max_log_scale }
    }

    /// The parameters of the mixture as the kernel takes them, with scale 1 and shift 0 of the
    /// logit, and bounded log-scales.
    fn own(&self, theta: Tensor<3>) -> Tensor<3> {
        let [batch, found, dims] = theta.dims();
        let (k, expected) = (self.n_components, self.n_params());
        assert_eq!(
            found, expected,
            "Gaussianization: expected {expected} parameters for each element, found {found}"
        );
        let affine = Tensor::zeros([batch, 2, dims], (&theta.device(), theta.dtype()));
        match self.max_log_scale {
            None => Tensor::cat(vec![affine, theta], 1),
            Some(max) => {
                let log_scales = bounded(theta.clone().narrow(1, 2 * k, k), max);
                Tensor::cat(vec![affine, theta.narrow(1, 0, 2 * k), log_scales], 1)
            }
        }
    }
}

impl Law for Gaussianization {
    fn n_params(&self) -> usize {
        3 * self.n_components
    }

    fn theta_init(&self) -> Vec<f64> {
        // A logistic distribution of this scale has variance 1.
        self.components().initial((3f64.sqrt() / PI).ln())
    }

    fn check_init(&self, network: &'static str, theta: &[f64]) -> Result<(), ConfigError> {
        self.components().check_init(network, "Gaussianization", theta)
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let (t, log_derivative) = mixture_logistic::forward(x, self.own(theta), self.min_log_scale);
        let (z, log_slope) = probit_of_logit(t);
        (z, log_derivative + log_slope)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        mixture_logistic::inverse(logit_of_probit(z), self.own(theta), self.min_log_scale)
    }
}
