//! A network selected by a configuration.
//!
//! A configuration used as a `NetConfig<2>` builds networks for vectors, and used as a
//! `NetConfig<4>` networks for images. A network of the other kind is an error that names the
//! expected number of axes.
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::law::AnyLawConfig;
//! use flowkit::{AnyNetConfig, CouplingConfig, LayerConfig, Site};
//!
//! let config: CouplingConfig<AnyLawConfig, AnyNetConfig> = serde_json::from_str(
//!     r#"{"law": {"Affine": {"form": "Sigmoid"}}, "net": {"Mlp": {"hidden": [16]}}}"#,
//! )?;
//! let device = Device::flex();
//! assert!(config.build(&Site::<2>::new([1, 3], &device)).is_ok());
//! let error = config.build(&Site::<4>::new([1, 3, 8, 8], &device)).unwrap_err();
//! assert_eq!(error.to_string(), ".net: Mlp: expected 2 axes, found shape [1, 2, 8, 8]");
//! # Ok::<(), serde_json::Error>(())
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{
    ConvResNet, ConvResNetConfig, GatedNet, GatedNetConfig, GlowNet, GlowNetConfig, Mlp, MlpConfig,
    Net, NetConfig, NetSite, ResNet, ResNetConfig, ZeroConv, ZeroConvConfig,
};
use crate::error::{ConfigError, ShapeError};

/// The networks of one number of axes.
macro_rules! networks {
    ($rank:literal: $($own:ident $config:ident),+; not $($other:ident),+) => {
        impl NetConfig<$rank> for AnyNetConfig {
            type Net = AnyNet;
            const SETS_THETA_INIT: bool = true $(&& <$config as NetConfig<$rank>>::SETS_THETA_INIT)+;

            fn build(&self, site: &NetSite<$rank>) -> Result<AnyNet, ConfigError> {
                match self {
                    $(Self::$own(config) => Ok(AnyNet::$own(config.build(site)?)),)+
                    $(Self::$other(_) => Err(other_rank(stringify!($other), $rank, site.identity()).into()),)+
                }
            }

            fn num_params(&self, site: &NetSite<$rank>) -> Result<usize, ConfigError> {
                match self {
                    $(Self::$own(config) => NetConfig::num_params(config, site),)+
                    $(Self::$other(_) => Err(other_rank(stringify!($other), $rank, site.identity()).into()),)+
                }
            }
        }

        impl Net<$rank> for AnyNet {
            fn forward(&self, identity: Tensor<$rank>, context: Option<Tensor<$rank>>) -> Tensor<3> {
                match self {
                    $(Self::$own(net) => net.forward(identity, context),)+
                    $(Self::$other(_) => panic!("{}", other_rank(stringify!($other), $rank, identity.dims())),)+
                }
            }

            fn initialize(
                self,
                identity: Tensor<$rank>,
                context: Option<Tensor<$rank>>,
            ) -> (Self, Tensor<3>) {
                match self {
                    $(Self::$own(net) => {
                        let (net, theta) = net.initialize(identity, context);
                        (Self::$own(net), theta)
                    })+
                    $(Self::$other(_) => panic!("{}", other_rank(stringify!($other), $rank, identity.dims())),)+
                }
            }

            fn check(&self, identity: [usize; $rank]) -> Result<(), ShapeError> {
                match self {
                    $(Self::$own(net) => net.check(identity),)+
                    $(Self::$other(_) => Err(other_rank(stringify!($other), $rank, identity)),)+
                }
            }

            fn reads_context(&self) -> bool {
                match self {
                    $(Self::$own(net) => Net::<$rank>::reads_context(net),)+
                    $(Self::$other(_) => true,)+
                }
            }
        }
    };
}

/// Configuration of [`AnyNet`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AnyNetConfig {
    /// Multilayer perceptron, for vectors.
    Mlp(MlpConfig),
    /// Residual network, for vectors.
    ResNet(ResNetConfig),
    /// Residual convolutions, for images of any size.
    ConvResNet(ConvResNetConfig),
    /// Gated convolutions and attention (Flow++), for images.
    GatedNet(GatedNetConfig),
    /// Glow's network, for images.
    GlowNet(GlowNetConfig),
    /// One convolution with initial weights of zero, for images.
    ZeroConv(ZeroConvConfig),
}

impl Config for AnyNetConfig {}

/// One of the networks.
#[derive(Module, Debug)]
// There is one value per layer, so its size does not matter. A box would hide a module from burn.
#[allow(clippy::large_enum_variant)]
pub enum AnyNet {
    /// Multilayer perceptron.
    Mlp(Mlp),
    /// Residual network.
    ResNet(ResNet),
    /// Residual convolutions.
    ConvResNet(ConvResNet),
    /// Gated convolutions and attention.
    GatedNet(GatedNet),
    /// Glow's network.
    GlowNet(GlowNet),
    /// One convolution.
    ZeroConv(ZeroConv),
}

networks!(2: Mlp MlpConfig, ResNet ResNetConfig; not ConvResNet, GatedNet, GlowNet, ZeroConv);
networks!(4: ConvResNet ConvResNetConfig, GatedNet GatedNetConfig, GlowNet GlowNetConfig, ZeroConv ZeroConvConfig;
    not Mlp, ResNet);

/// The error for a network that expects 4 axes where tensors have 2, or the reverse.
fn other_rank<const D: usize>(network: &'static str, rank: usize, shape: [usize; D]) -> ShapeError {
    let expected = if rank == 2 { 4 } else { 2 };
    ShapeError::Rank { layer: network, expected, shape: shape.to_vec() }
}

macro_rules! from {
    ($($own:ident $config:ident),+) => {
        $(impl From<$config> for AnyNetConfig {
            fn from(config: $config) -> Self {
                Self::$own(config)
            }
        })+
    };
}

from!(Mlp MlpConfig, ResNet ResNetConfig, ConvResNet ConvResNetConfig, GatedNet GatedNetConfig, GlowNet GlowNetConfig,
    ZeroConv ZeroConvConfig);
