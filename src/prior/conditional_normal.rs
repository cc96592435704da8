//! Independent normal latents whose means and log-scales a network computes from the condition.
//! ```text
//! (s, μ) = theta = network(context)                             [batch, 2, dims]
//! ln p(z | context) = −Σ ( ½ ((z − μ)·exp(−s))² + s + ½ ln 2π )
//! sample   μ + temperature·exp(s)·N(0, 1)
//! ```
//! The network takes the condition as its input and outputs two parameters for each latent. This is
//! the prior of a class, or of factored-out latents given the remaining ones. The order of the
//! parameters is that of the law [`AffineForm::Normal`](crate::law::AffineForm). A network with
//! data-dependent initialisation is initialised together with the flow.
//!
//! # Numerics
//! `exp(−s)` overflows float32 at `s < −88`. With a network whose last layer is initialised to
//! zero, the prior is initially the standard normal distribution.
//!
//! # Reference
//! The learned prior of Glow's released code (Kingma & Dhariwal 2018), with one network instead of
//! two.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{ConditionalNormalConfig, MlpConfig, Prior, PriorConfig, Site};
//!
//! let device = Device::flex();
//! // Two classes, one-hot; two latents. The network's initial output is 0: a standard normal for
//! // both classes.
//! let class = Tensor::<2>::eye(2, &device);
//! let config = ConditionalNormalConfig::new(MlpConfig::new([16]));
//! let prior = PriorConfig::build(&config, &Site::given([1, 2], &class, &device))?;
//! let log_prob = prior.log_prob(Tensor::<2>::zeros([2, 2], &device), &class);
//! let expected = -(2.0 * std::f32::consts::PI).ln();
//! assert!((log_prob - expected).abs().max().into_scalar::<f32>() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};

use super::diagonal_normal::log_normal;
use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::conditioner::{Conditioned, Net, NetConfig, NetSite};
use crate::error::{ConfigError, ShapeError, check_shape, check_shape_size};

/// Number of parameters of each latent: log-scale and mean.
const N_PARAMS: usize = 2;

/// Configuration of [`ConditionalNormal`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionalNormalConfig<N> {
    /// The network that takes the condition.
    pub net: N,
}

impl<N: Config> Config for ConditionalNormalConfig<N> {}

impl<N> ConditionalNormalConfig<N> {
    /// A prior whose means and log-scales come from the network `net`.
    pub fn new(net: N) -> Self {
        Self { net }
    }
}

impl<const D: usize, const K: usize, N: NetConfig<K>> PriorConfig<D, Tensor<K>>
    for ConditionalNormalConfig<N>
{
    type Prior = ConditionalNormal<N::Net>;

    fn build(&self, site: &Site<D, Tensor<K>>) -> Result<Self::Prior, ConfigError> {
        // The condition of a site is a single tensor with K axes.
        let mut condition = [1; K];
        for part in site.context().parts() {
            condition.copy_from_slice(part);
        }
        check_shape_size("ConditionalNormal", &site.shape())?;
        let net =
            NetSite::new(condition, as_latents(site.shape()), vec![0.0; N_PARAMS], site.device());
        let conditioner = Conditioned::build(&self.net, &net).map_err(|error| error.at(".net"))?;
        Ok(ConditionalNormal { conditioner })
    }
}

/// A shape of the latents with as many axes as the condition: unchanged if the numbers of axes are
/// equal, otherwise with the elements on axis 1.
fn as_latents<const D: usize, const K: usize>(shape: [usize; D]) -> [usize; K] {
    let mut latents = [1; K];
    latents[0] = shape[0];
    if D == K {
        latents.copy_from_slice(&shape);
    } else if K > 1 {
        latents[1] = shape[1..].iter().product();
    }
    latents
}

/// Normal prior given a condition. The formulas head this module.
#[derive(Module, Debug)]
pub struct ConditionalNormal<N> {
    /// The network that computes log-scales and means from the condition.
    pub conditioner: Conditioned<N>,
}

impl<N> ConditionalNormal<N> {
    /// Checks that the network accepts the condition and outputs two parameters for each element of
    /// latents of shape `dims`.
    fn fits<const D: usize, const K: usize>(
        &self,
        dims: [usize; D],
        context: &Tensor<K>,
    ) -> Result<(), ShapeError>
    where
        N: Net<K>,
    {
        let found = context.dims();
        let mut expected = found;
        expected[0] = dims[0];
        if found != expected {
            let (expected, found) = (expected.to_vec(), found.to_vec());
            return Err(ShapeError::ContextShape { layer: "ConditionalNormal", expected, found });
        }
        check_shape_size("ConditionalNormal", &dims)?;
        self.conditioner.check(found, as_latents(dims))
    }

    /// Log-scales and means of latents of shape `dims`.
    ///
    /// # Panics
    /// With the text of [`ShapeError`], if the network does not output two parameters for each of
    /// them.
    fn parameters<const D: usize, const K: usize>(
        &self,
        dims: [usize; D],
        context: &Tensor<K>,
    ) -> (Tensor<D>, Tensor<D>)
    where
        N: Net<K>,
    {
        check_shape(self.fits(dims, context));
        let theta = self.conditioner.forward(context.clone(), &());
        let part = |index: usize| theta.clone().narrow(1, index, 1).reshape(dims);
        (part(0), part(1))
    }
}

impl<const D: usize, const K: usize, N: Net<K>> Prior<D, Tensor<K>> for ConditionalNormal<N> {
    fn check_given(&self, shape: [usize; D], context: &Tensor<K>) -> Result<(), ShapeError> {
        self.fits(shape, context)
    }

    fn initialize(self, z: Tensor<D>, context: &Tensor<K>) -> Self {
        check_shape(self.fits(z.dims(), context));
        let (conditioner, _) = self.conditioner.initialize(context.clone(), &());
        Self { conditioner }
    }

    fn log_prob(&self, z: Tensor<D>, context: &Tensor<K>) -> Tensor<1> {
        let (log_scale, mean) = self.parameters(z.dims(), context);
        log_normal(z, mean, log_scale)
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        context: &Tensor<K>,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        let (log_scale, mean) = self.parameters(shape, context);
        let draws = Tensor::<D>::random(shape, Distribution::Normal(0.0, 1.0), (device, dtype));
        draws.mul_scalar(temperature) * log_scale.exp() + mean
    }
}

impl<const D: usize, const K: usize, N: Net<K>> ReparametrisedPrior<D, Tensor<K>>
    for ConditionalNormal<N>
{
}
