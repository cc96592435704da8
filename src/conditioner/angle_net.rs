//! Network of angles: another network, which reads their cosines and sines.
//! ```text
//! theta = net((cos x, sin x), context)       x in radians; 2·identity inputs
//! ```
//! The parameters that it computes are continuous where an angle passes from π to −π. A network
//! that reads the angles themselves is not: the density of a coupling of
//! [`CircularSpline`](crate::law::CircularSpline) would jump there.
//!
//! # Reference
//! Rezende et al. 2020, §4: conditioners of flows on tori.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{AngleNetConfig, MlpConfig, Net, NetConfig, NetSite};
//! use std::f64::consts::PI;
//!
//! let device = Device::flex();
//! let site = NetSite::new([1, 1], [1, 2], vec![0.0], &device);
//! let net = AngleNetConfig::new(MlpConfig::new([8])).build(&site)?;
//! let theta = |angle: f64| net.forward(Tensor::from_data([[angle]], &device), None);
//! assert!((theta(PI) - theta(-PI)).abs().max().into_scalar::<f32>() < 1e-5);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Net, NetConfig, NetSite};
use crate::error::{ConfigError, ShapeError};

/// Configuration of [`AngleNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AngleNetConfig<N> {
    /// The network that reads cosines and sines.
    pub net: N,
}

impl<N: Config> Config for AngleNetConfig<N> {}

impl<N> AngleNetConfig<N> {
    /// Cosines and sines, read by this network.
    pub fn new(net: N) -> Self {
        Self { net }
    }

    /// The site of the network inside.
    fn inner(site: &NetSite<2>) -> NetSite<2> {
        let [one, width] = site.identity();
        let identity = [one, width.saturating_mul(2)];
        NetSite::new(identity, site.transformed(), site.theta_init().to_vec(), site.device())
            .with_context(site.context().clone())
    }
}

impl<N: NetConfig<2>> NetConfig<2> for AngleNetConfig<N> {
    type Net = AngleNet<N::Net>;
    const SETS_THETA_INIT: bool = N::SETS_THETA_INIT;

    fn build(&self, site: &NetSite<2>) -> Result<Self::Net, ConfigError> {
        let net = self.net.build(&Self::inner(site)).map_err(|error| error.at(".net"))?;
        Ok(AngleNet { net })
    }

    fn num_params(&self, site: &NetSite<2>) -> Result<usize, ConfigError> {
        self.net.num_params(&Self::inner(site)).map_err(|error| error.at(".net"))
    }
}

/// A network that reads cosines and sines of its input. The formula heads this module.
#[derive(Module, Debug)]
pub struct AngleNet<N> {
    /// The network that reads them.
    pub net: N,
}

/// `[batch, angles]` to `[batch, 2·angles]`.
fn waves(angles: Tensor<2>) -> Tensor<2> {
    Tensor::cat(vec![angles.clone().cos(), angles.sin()], 1)
}

impl<N: Net<2>> Net<2> for AngleNet<N> {
    fn forward(&self, identity: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<3> {
        self.net.forward(waves(identity), context)
    }

    fn initialize(self, identity: Tensor<2>, context: Option<Tensor<2>>) -> (Self, Tensor<3>) {
        let (net, theta) = self.net.initialize(waves(identity), context);
        (Self { net }, theta)
    }

    fn check(&self, identity: [usize; 2]) -> Result<(), ShapeError> {
        self.net.check([identity[0], identity[1].saturating_mul(2)])
    }

    fn reads_context(&self) -> bool {
        self.net.reads_context()
    }
}
