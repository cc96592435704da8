//! Independent normal latents whose means and log-scales a network gives from the condition.
//! ```text
//! (s, μ) = theta = network(context)                             [batch, 2, dims]
//! ln p(z | context) = −Σ ( ½ ((z − μ)·exp(−s))² + s + ½ ln 2π )
//! sample   μ + temperature·exp(s)·N(0, 1)
//! ```
//! The network is a [`Conditioner`] that takes the condition as its input and gives two parameters for each latent: the prior of a class, or
//! of latents that were factored out given those that were not. The order of the parameters is that of the law
//! [`AffineForm::Normal`](crate::law::AffineForm), so that a coupling of that law and this prior may share a network. A data-dependent start of
//! the network happens when the flow is started.
//!
//! # Numerics
//! `exp(−s)` overflows f32 at `s < −88`. A network whose last layer starts at zero starts at the standard normal distribution.
//!
//! # Reference
//! The learned prior of Glow's released code (Kingma & Dhariwal 2018), one network instead of two.
//!
//! # Example
//! ```
//! use burn::module::Module;
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::Law;
//! use flowkit::{ConditionalNormal, Conditioner, ConfigError, Prior, ShapeError, ThetaInit};
//!
//! /// Mean `(c, c)`, scale 1.
//! #[derive(Module, Debug)]
//! struct Mean {}
//! impl ThetaInit for Mean {
//!     fn init_at<L: Law>(self, _: &L) -> Result<Self, ConfigError> {
//!         Ok(self)
//!     }
//! }
//! impl Conditioner<2> for Mean {
//!     fn forward(&self, context: Tensor<2>, _: &()) -> Tensor<3> {
//!         let batch = context.dims()[0];
//!         let mean = context.reshape([batch, 1, 1]).expand([batch, 1, 2]);
//!         Tensor::cat(vec![mean.zeros_like(), mean], 1)
//!     }
//!     fn check(&self, _: [usize; 2], _: [usize; 2], _: usize) -> Result<(), ShapeError> {
//!         Ok(())
//!     }
//! }
//!
//! let device = Device::flex();
//! let context = Tensor::<2>::from_data([[3.0], [5.0]], &device);
//! let z = Tensor::<2>::from_data([[3.0, 3.0], [5.0, 6.0]], &device);
//! let nats = ConditionalNormal::new(Mean {}).log_prob(z, &context);
//! let peak = -(2.0 * std::f32::consts::PI).ln();
//! nats.into_data().assert_approx_eq::<f32>(&[peak, peak - 0.5].into(), Default::default());
//! ```

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor};

use super::Prior;
use super::diagonal_normal::log_normal;
use crate::conditioner::Conditioner;
use crate::error::{ShapeError, check_shape, check_shape_size};

/// Parameters of each latent: log-scale and mean.
const N_PARAMS: usize = 2;

/// Normal prior given a condition. The formulas head this module.
#[derive(Module, Debug)]
pub struct ConditionalNormal<N> {
    /// Gives log-scales and means from the condition.
    pub network: N,
}

impl<N> ConditionalNormal<N> {
    /// The prior with means and log-scales from `network`.
    pub fn new(network: N) -> Self {
        Self { network }
    }

    /// Whether the network takes the condition, and gives two parameters for each number of latents of shape `dims`.
    fn fits<const D: usize, const K: usize>(&self, dims: [usize; D], context: &Tensor<K>) -> Result<(), ShapeError>
    where
        N: Conditioner<K>,
    {
        let found = context.dims();
        let mut expected = found;
        expected[0] = dims[0];
        if found != expected {
            let (expected, found) = (expected.to_vec(), found.to_vec());
            return Err(ShapeError::ConditionShape { layer: "ConditionalNormal", expected, found });
        }
        check_shape_size("ConditionalNormal", &dims)?;
        // The conditioner knows shapes with its own number of axes: latents go in as their numbers where theirs is another.
        let mut latents = [1; K];
        latents[0] = dims[0];
        if D == K {
            latents.copy_from_slice(&dims);
        } else if K > 1 {
            latents[1] = dims[1..].iter().product();
        }
        self.network.check(found, latents, N_PARAMS)
    }

    /// Log-scales and means of latents of shape `dims`.
    ///
    /// # Panics
    /// If the network does not give two parameters for each of them.
    fn parameters<const D: usize, const K: usize>(
        &self,
        dims: [usize; D],
        context: &Tensor<K>,
    ) -> (Tensor<D>, Tensor<D>)
    where
        N: Conditioner<K>,
    {
        check_shape(self.fits(dims, context));
        let theta = self.network.forward(context.clone(), &());
        let part = |index: usize| theta.clone().narrow(1, index, 1).reshape(dims);
        (part(0), part(1))
    }
}

impl<const D: usize, const K: usize, N: Conditioner<K>> Prior<D, Tensor<K>> for ConditionalNormal<N> {
    fn check_given(&self, shape: [usize; D], context: &Tensor<K>) -> Result<(), ShapeError> {
        self.fits(shape, context)
    }

    fn initialize(self, z: Tensor<D>, context: &Tensor<K>) -> Self {
        check_shape(self.fits(z.dims(), context));
        let (network, _) = self.network.initialize(context.clone(), &());
        Self { network }
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
