//! MixLogCDF law of Flow++: the distribution function of a mixture of logistic distributions, then
//! its logit, then an affine map.
//! ```text
//! theta = (a, b, ℓ_1..K, μ_1..K, s_1..K)         α = tanh a,  s̄_k = max(bounded(s_k), s_min)
//! bounded(s) = s                                   for s ≤ s_max − 2
//!            = s_max − 2/(1 + r + r²)              above, with r = (s − s_max + 2)/2
//! forward   z = e^α · t(x) + b                   t: the logistic-mixture law with log-scales s̄
//! inverse   x = t⁻¹((z − b)·e^−α)
//! log_derivative   α + ln ∂t/∂x
//! ```
//! # Initialisation
//! At theta = 0 the law is the identity, but its `K` components are equal. They would then have
//! equal gradients and never separate. Every layer therefore starts from [`Law::theta_init`], which
//! separates the components:
//! ```text
//! μ_k = ½ ln(p_k/(1 − p_k)),  p_k = (k − ½)/K   half the quantiles of the logistic distribution
//! e^2s = 1 − (3/π²)·mean_k μ_k²                 the mixture has the variance of one logistic
//! ```
//! All other parameters are 0. The law is then within 0.06 of the identity for `|x| ≤ 3`; for
//! `K = 1` it is the identity.
//!
//! # Numerics
//! See [`LogisticMixture`], and [`kernel::mixture_logistic`](crate::kernel::mixture_logistic) for
//! the kernels. The clamp at `s_min` (−7, as in the official code) keeps a component from becoming
//! a step: at `s = −7` its slope is already `e^7`, and further updates could turn it into a spike
//! that no sample falls into. The cost of the clamp: the gradient of a clamped log-scale is 0.
//!
//! The bound at `s_max` (7, the mirror image of `s_min`) keeps the law from becoming flat: a
//! network that extrapolates may output log-scales of hundreds, for which the law has no inverse in
//! float32. Up to `s_max − 2` the bound is the identity to the bit. At that point its value, slope
//! and curvature are continuous, and its slope is positive everywhere. `None` gives the authors'
//! formula.
//!
//! # Reference
//! Ho et al. 2019 §3.2. Differs: the parameters are ordered by parameter, then by channel; those of
//! the official code by channel, then by parameter.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;

use super::components::Components;
use super::upper_bound::bounded;
use super::{Law, LawConfig, LogisticMixture, Solution};
use crate::error::ConfigError;
use crate::kernel::mixture_coupling;
use crate::kernel::mixture_logistic;

config! {
    /// Configuration of [`MixLogCdf`].
    #[derive(Debug)]
    pub struct MixLogCdfConfig {
        /// Number of components `K` of the mixture.
        pub n_components: usize,
        /// Smallest log-scale.
        pub min_log_scale: f64 = -7.0,
        /// Upper bound of the log-scales, in `[max(2, min_log_scale), 80]`. It acts smoothly on
        /// log-scales above `max_log_scale − 2`. `None`: no bound, as in the paper.
        pub max_log_scale: Option<f64> = Some(7.0),
    }
}

impl MixLogCdfConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { n_components: k, min_log_scale, max_log_scale } = *self;
        Components { k, min_log_scale, max_log_scale }.validate("MixLogCdfConfig")
    }
}

impl LawConfig for MixLogCdfConfig {
    type Law = MixLogCdf;

    fn build(&self) -> Result<MixLogCdf, ConfigError> {
        self.validate()?;
        let Self { n_components, min_log_scale, max_log_scale } = *self;
        Ok(MixLogCdf { n_components, min_log_scale, max_log_scale })
    }
}

/// MixLogCDF law. The formulas head this module.
#[derive(Module, Debug)]
pub struct MixLogCdf {
    n_components: usize,
    min_log_scale: f64,
    max_log_scale: Option<f64>,
}

impl MixLogCdf {
    fn components(&self) -> Components {
        let Self { n_components: k, min_log_scale, max_log_scale } = *self;
        Components { k, min_log_scale, max_log_scale }
    }

    /// Log-scale `α`, shift `b` and mixture of each element.
    pub fn parts(&self, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>, LogisticMixture) {
        mixture_logistic::plain::parts(self.own(theta), self.min_log_scale)
    }

    /// Theta with its log-scales bounded from above. The number of parameters is checked here,
    /// since the kernel accepts any number of components and log-scales of any size.
    fn own(&self, theta: Tensor<3>) -> Tensor<3> {
        let (found, expected) = (theta.dims()[1], self.n_params());
        assert_eq!(
            found, expected,
            "MixLogCdf: expected {expected} parameters for each element, found {found}"
        );
        let Some(max) = self.max_log_scale else { return theta };
        let k = self.n_components;
        let log_scales = bounded(theta.clone().narrow(1, 2 + 2 * k, k), max);
        Tensor::cat(vec![theta.narrow(1, 0, 2 + 2 * k), log_scales], 1)
    }

    /// The inverse outside any graph, with the residual `t(x) − t` of each element and whether the
    /// element is solved.
    ///
    /// # Shapes
    /// `z [batch, dims]`, `theta [batch, 2 + 3K, dims]` to `[batch, dims]` each.
    pub fn solve(&self, z: Tensor<2>, theta: Tensor<3>) -> Solution {
        mixture_logistic::solve(z, self.own(theta), self.min_log_scale)
    }
}

impl Law for MixLogCdf {
    fn n_params(&self) -> usize {
        2 + 3 * self.n_components
    }

    fn theta_init(&self) -> Vec<f64> {
        [vec![0.0; 2], self.components().initial(0.0)].concat()
    }

    fn check_init(&self, network: &'static str, theta: &[f64]) -> Result<(), ConfigError> {
        self.components().check_init(network, "MixLogCdf", &theta[2..])
    }

    fn is_affine(&self) -> bool {
        // The logit of the distribution function of one logistic is `(x − μ)e^−s`.
        self.n_components == 1
    }

    fn forward_within(
        &self,
        x: Tensor<3>,
        theta: Tensor<3>,
        range: Range<usize>,
    ) -> (Tensor<3>, Tensor<1>) {
        mixture_coupling::forward(x, self.own(theta), range, self.min_log_scale)
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        mixture_logistic::forward(x, self.own(theta), self.min_log_scale)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        mixture_logistic::inverse(z, self.own(theta), self.min_log_scale)
    }
}
