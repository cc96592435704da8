//! Mixture of normal distributions with independent elements, over whole examples.
//! ```text
//! ln p(z) = ln Σ_k π_k Π_i N(z_i; μ_ki, exp(s_ki))              π = softmax(ℓ)
//! sample    k ~ π,  z = μ_k + temperature·exp(s_k)·N(0, 1)
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `ℓ` | unnormalised log-weights | `[K]` | yes |
//! | `μ` | means, `dims` elements per example | `[K, dims]` | yes |
//! | `s` | log-scales | `[K, dims]` | yes |
//!
//! The temperature acts within a component: at 0 the samples are the means. `no_grad` of the module
//! keeps the mixture fixed.
//!
//! # Initialisation
//! Means from `N(0, spread²)`, scales 1, equal weights. Equal components would have equal gradients
//! and stay equal.
//!
//! # Numerics
//! Everything is computed in log space: the sum over components is taken relative to the largest.
//! Where squares overflow, the density is 0, `−∞` nats. `exp(−s)` overflows float32 at `s < −88`.
//!
//! # Cost
//! `O(B·K·dims)` in time and memory.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{NormalMixture, Prior};
//!
//! let device = Device::flex();
//! let means = Tensor::<2>::from_data([[-40.0], [40.0]], &device);
//! let prior = NormalMixture::from_parts(
//!     [1, 1],
//!     Tensor::zeros([2], &device),
//!     means.clone(),
//!     means.zeros_like(),
//! )
//! .unwrap();
//! let nats = prior.log_prob(Tensor::<2>::from_data([[40.0]], &device), &()).into_scalar::<f32>();
//! assert!((nats - 0.5f32.ln() + 0.5 * (2.0 * std::f32::consts::PI).ln()).abs() < 1e-6);
//! ```

use std::f64::consts::PI;

use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Distribution, Tensor};

use super::{Prior, PriorConfig};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape, check_shape_size};
use crate::tensor::equal::first_equal;
use crate::tensor::limit::{per_example, product, sum};
use crate::tensor::parameter;
use crate::tensor::per_example::flatten;

config! {
    /// Configuration of [`NormalMixture`].
    #[derive(Debug)]
    pub struct NormalMixtureConfig {
        /// Number of components `K`.
        pub n_components: usize,
        /// Standard deviation of the initial means. 0 is allowed for a single component only.
        pub spread: f64 = 1.0,
    }
}

impl NormalMixtureConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "NormalMixtureConfig";
        ConfigError::repeated(NAME, "n_components", self.n_components)?;
        // Squares of the means must be float32 values with room to spare. Equal means would stay
        // equal.
        let (least, range) =
            if self.n_components > 1 { (1e-6, "[1e-6, 1e6]") } else { (0.0, "[0, 1e6]") };
        if (least..=1e6).contains(&self.spread) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange { config: NAME, field: "spread", range, found: self.spread })
    }

    /// Number of parameters of the prior for latents of shape `shape[1..]`, counted without
    /// building it.
    ///
    /// # Errors
    /// The first rule that is broken, or [`ConfigError::TooManyParameters`].
    pub fn num_params<const D: usize>(&self, shape: [usize; D]) -> Result<usize, ConfigError> {
        self.validate()?;
        let (k, numbers) = (self.n_components, per_example(shape));
        let total = sum([k, product([2, k, numbers])]);
        ConfigError::parameters(
            "NormalMixtureConfig",
            total,
            [("shape", numbers), ("n_components", k)],
        )
    }
}

impl<const D: usize, C: Context> PriorConfig<D, C> for NormalMixtureConfig {
    type Prior = NormalMixture;

    /// The prior, with means from the device's generator.
    fn build(&self, site: &Site<D, C>) -> Result<NormalMixture, ConfigError> {
        let (shape, device) = (site.shape(), site.device());
        self.num_params(shape)?;
        let k = self.n_components;
        let dims = shape[1..].iter().product();
        Ok(NormalMixture {
            logits: Initializer::Zeros.init([k], device),
            means: parameter::normal([k, dims], self.spread, device),
            log_scales: Initializer::Zeros.init([k, dims], device),
            shape: shape[1..].to_vec(),
        })
    }
}

/// Mixture of normal distributions. The formulas head this module.
#[derive(Module, Debug)]
pub struct NormalMixture {
    /// Unnormalised log-weights `ℓ`, `[K]`.
    pub logits: Param<Tensor<1>>,
    /// Means `μ`, `[K, dims]`.
    pub means: Param<Tensor<2>>,
    /// Log-scales `s`, `[K, dims]`.
    pub log_scales: Param<Tensor<2>>,
    #[module(skip)]
    shape: Vec<usize>,
}

impl NormalMixture {
    /// The mixture with these parameters, of latents of shape `shape[1..]`.
    ///
    /// # Errors
    /// If the parameters do not have the shapes `[K]`, `[K, dims]` and `[K, dims]`, or have no
    /// elements; [`ConfigError::OtherType`] if their types differ; [`ConfigError::OutOfRange`] for
    /// a value that is not finite; [`ConfigError::SameComponents`], because equal components have
    /// equal gradients, so training cannot separate them.
    pub fn from_parts<const D: usize>(
        shape: [usize; D],
        logits: Tensor<1>,
        means: Tensor<2>,
        log_scales: Tensor<2>,
    ) -> Result<Self, ConfigError> {
        let expected = [logits.dims()[0], shape[1..].iter().product()];
        for found in [means.dims(), log_scales.dims()] {
            if let Some(axis) = (0..2).find(|&axis| found[axis] != expected[axis]) {
                let (layer, expected) = ("NormalMixture", expected[axis]);
                let shape = found.to_vec();
                return Err(ShapeError::Axis { layer, axis, expected, shape }.into());
            }
        }
        if expected.contains(&0) {
            let shape = expected.to_vec();
            return Err(ShapeError::Empty { layer: "NormalMixture", shape }.into());
        }
        let expected_type = logits.dtype();
        let others = [
            ("NormalMixture: `means`", means.dtype()),
            ("NormalMixture: `log_scales`", log_scales.dtype()),
        ];
        if let Some((tensor, found)) = others.into_iter().find(|(_, dtype)| *dtype != expected_type)
        {
            return Err(ConfigError::OtherType { tensor, expected: expected_type, found });
        }
        values("logits", &logits)?;
        // Adding 0 makes -0 and 0 one value.
        let bits = |field, of: &Tensor<2>| -> Result<Vec<u64>, ConfigError> {
            let values = values(field, of)?.into_iter();
            Ok(values.map(|value| (value + 0.0).to_bits()).collect())
        };
        let (mean, scale, dims) =
            (bits("means", &means)?, bits("log_scales", &log_scales)?, expected[1]);
        let components = mean.chunks(dims).zip(scale.chunks(dims));
        if let Some((first, second)) = first_equal(components) {
            return Err(ConfigError::SameComponents { config: "NormalMixture", first, second });
        }
        Ok(Self {
            logits: Param::from_tensor(logits),
            means: Param::from_tensor(means),
            log_scales: Param::from_tensor(log_scales),
            shape: shape[1..].to_vec(),
        })
    }
}

/// The values of a parameter, if all are finite.
fn values<const D: usize>(field: &'static str, of: &Tensor<D>) -> Result<Vec<f64>, ConfigError> {
    let values: Vec<f64> = of.clone().into_data().iter::<f64>().collect();
    match values.iter().copied().find(|value| !value.is_finite()) {
        None => Ok(values),
        Some(found) => {
            let (config, range) = ("NormalMixture", "(-∞, ∞)");
            Err(ConfigError::OutOfRange { config, field, range, found })
        }
    }
}

impl<const D: usize, C: Context> Prior<D, C> for NormalMixture {
    fn log_prob(&self, z: Tensor<D>, _: &C) -> Tensor<1> {
        check_shape(Prior::<D, C>::check(self, z.dims()));
        let log_scales = self.log_scales.val().unsqueeze::<3>();
        let distance = flatten(z).unsqueeze_dim::<3>(1) - self.means.val().unsqueeze::<3>();
        let scaled = distance * log_scales.clone().neg().exp();
        let terms = scaled.square().mul_scalar(-0.5) - log_scales.add_scalar(0.5 * (2.0 * PI).ln());
        let joint = terms.sum_dim(2).squeeze_dim::<2>(2)
            + log_softmax(self.logits.val(), 0).unsqueeze::<2>();
        // The largest is a constant to the gradient, since it cancels. The sum is at least 1, the
        // term of the largest itself.
        let largest = joint.clone().detach().max_dim(1);
        // Where all terms are −∞, as for latents whose squares overflow, the sum is 0 and its
        // logarithm −∞. Without the mask it would be the NaN of −∞ + ∞.
        let largest = largest.clone().mask_fill(largest.equal_elem(f32::NEG_INFINITY), 0.0);
        let sum = (joint - largest.clone()).exp().sum_dim(1).log() + largest;
        sum.squeeze_dim::<1>(1)
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        check_shape(check_shape_size("NormalMixture", &shape));
        check_shape(Prior::<D, C>::check(self, shape));
        let (means, log_scales) = (self.means.val(), self.log_scales.val());
        let [k, dims] = means.dims();
        // The component is the number of running sums of the weights that are at most a uniform
        // random value. The last sum does not count: the component is at most K − 1, whatever the
        // rounding of the sums.
        let sums = log_softmax(self.logits.val(), 0)
            .exp()
            .cumsum(0)
            .unsqueeze::<2>()
            .expand([shape[0], k]);
        let uniform =
            Tensor::<2>::random([shape[0], 1], Distribution::Uniform(0.0, 1.0), (device, dtype));
        let reached =
            sums.lower_equal(uniform.expand([shape[0], k])).int().sum_dim(1).squeeze_dim::<1>(1);
        let component = reached.clamp_max(k as i64 - 1);
        let draws =
            Tensor::<2>::random([shape[0], dims], Distribution::Normal(0.0, 1.0), (device, dtype));
        let scales = log_scales.select(0, component.clone()).exp().mul_scalar(temperature);
        (draws * scales + means.select(0, component)).reshape(shape)
    }

    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        check_event("NormalMixture", &self.shape, shape).map(drop)
    }
}
