//! Layers that are selected by a file, by name and configuration.
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::{AnyLayerConfig, BoxBijector, LayerConfig, Site};
//!
//! let text = r#"[
//!     { "Invert": "Sigmoid" },
//!     { "Stack": ["Swap", { "Logit": { "margin": 0.1 } }] }
//! ]"#;
//! let layers: Vec<AnyLayerConfig> = serde_json::from_str(text)?;
//! let stack: Vec<BoxBijector<2>> = layers.build(&Site::new([1, 3], &Device::flex()))?;
//! assert_eq!(stack.len(), 2);
//! let error = layers.build(&Site::new([1, 1], &Device::flex())).unwrap_err();
//! let text = "[1][0]: Swap: axis 1 must have a length of at least 2, found shape [1, 1]";
//! assert_eq!(error.to_string(), text);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each variant has the name of its layer and holds its configuration; a layer without a
//! configuration is its name alone. `Stack` is a list of layers, `Invert` the inverse of one. The
//! same file works for vectors and images; a layer for images only is an error for vectors, with
//! its place, and the reverse. To include a layer of your own crate, write an enum of your own, or
//! use `Box<dyn LayerConfig<D, C, Layer = BoxBijector<D, C>>>`.

use serde::{Deserialize, Serialize};

use crate::autoregressive::{MadeConfig, MaskedAutoregressiveConfig};
use crate::bijector::boxed::BoxBijector;
use crate::bijector::invert::Invert;
use crate::bijector::{Boxed, LayerConfig, MultiScaleConfig, Plan, Site};
use crate::conditioner::AnyNetConfig;
use crate::context::Features;
use crate::coupling::{CouplingConfig, MaskedCouplingConfig};
use crate::elementwise::{
    ElementwiseConfig, Exp, LeakyReluConfig, LogitConfig, ScalarAffineConfig, Sigmoid, Softplus,
    Tanh,
};
use crate::error::{ConfigError, ShapeError};
use crate::law::AnyLawConfig;
use crate::linear::{
    ActNormConfig, ChannelMatrixConfig, Conv1x1Config, HouseholderConfig, PositionNormConfig,
};
use crate::reshape::{PartitionConfig, PermutationConfig, SqueezeConfig, Swap};

/// A configuration whose layer is in a box.
type BoxedConfig<'a, const D: usize, C> =
    Box<dyn LayerConfig<D, C, Layer = BoxBijector<D, C>> + 'a>;

macro_rules! any_layer {
    (
        layers { $($layer:ident($config:ty),)* }
        names { $($plain:ident,)* }
        images { $($image:ident($image_config:ty),)* }
        vectors { $($vector:ident($vector_config:ty),)* }
    ) => {
        /// A layer that a file chooses. The head of this module shows one.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub enum AnyLayerConfig {
            $(
                #[doc = concat!("[`", stringify!($layer), "`](crate::", stringify!($layer), ").")]
                $layer($config),
            )*
            $(
                #[doc = concat!("[`", stringify!($plain), "`](crate::", stringify!($plain), ").")]
                $plain,
            )*
            $(
                #[doc = concat!("[`", stringify!($image), "`](crate::", stringify!($image), "), of images.")]
                $image($image_config),
            )*
            $(
                #[doc = concat!("[`", stringify!($vector), "`](crate::", stringify!($vector), "), of vectors.")]
                $vector($vector_config),
            )*
            /// The inverse of a layer.
            Invert(Box<AnyLayerConfig>),
            /// Layers in a row.
            Stack(Vec<AnyLayerConfig>),
        }

        impl AnyLayerConfig {
            /// The configuration inside, for vectors.
            fn of_vectors<C: Features<2>>(&self, site: &Site<2, C>) -> Result<BoxedConfig<'_, 2, C>, ConfigError> {
                Ok(match self {
                    $(Self::$layer(config) => Box::new(Boxed::new(config)),)*
                    $(Self::$plain => Box::new(Boxed::new($plain::new())),)*
                    $(Self::$image(_) => {
                        let shape = site.shape().to_vec();
                        return Err(ShapeError::Rank { layer: stringify!($image), expected: 4, shape }.into());
                    })*
                    $(Self::$vector(config) => Box::new(Boxed::new(config)),)*
                    Self::Invert(inner) => Box::new(Boxed::new(Invert::new(&**inner))),
                    Self::Stack(layers) => Box::new(Boxed::new(layers)),
                })
            }

            /// The configuration inside, for images.
            fn of_images<C: Features<4>>(&self, site: &Site<4, C>) -> Result<BoxedConfig<'_, 4, C>, ConfigError> {
                Ok(match self {
                    $(Self::$layer(config) => Box::new(Boxed::new(config)),)*
                    $(Self::$plain => Box::new(Boxed::new($plain::new())),)*
                    $(Self::$image(config) => Box::new(Boxed::new(config)),)*
                    $(Self::$vector(_) => {
                        let shape = site.shape().to_vec();
                        return Err(ShapeError::Rank { layer: stringify!($vector), expected: 2, shape }.into());
                    })*
                    Self::Invert(inner) => Box::new(Boxed::new(Invert::new(&**inner))),
                    Self::Stack(layers) => Box::new(Boxed::new(layers)),
                })
            }
        }
    };
}

// A layer of this crate joins by one line.
any_layer! {
    layers {
        ActNorm(ActNormConfig),
        PositionNorm(PositionNormConfig),
        ChannelMatrix(ChannelMatrixConfig),
        Conv1x1(Conv1x1Config),
        Householder(HouseholderConfig),
        Permutation(PermutationConfig),
        Elementwise(ElementwiseConfig<AnyLawConfig>),
        ScalarAffine(ScalarAffineConfig),
        LeakyRelu(LeakyReluConfig),
        Logit(LogitConfig),
        Coupling(CouplingConfig<AnyLawConfig, AnyNetConfig>),
        MaskedCoupling(MaskedCouplingConfig<AnyLawConfig, AnyNetConfig>),
    }
    names { Swap, Sigmoid, Tanh, Softplus, Exp, }
    images {
        Squeeze(SqueezeConfig),
        Partition(PartitionConfig),
        MultiScale(MultiScaleConfig<AnyLayerConfig>),
    }
    vectors { MaskedAutoregressive(MaskedAutoregressiveConfig<AnyLawConfig, MadeConfig>), }
}

macro_rules! built_by {
    ($rank:literal, $inside:ident) => {
        impl<C: Features<$rank>> LayerConfig<$rank, C> for AnyLayerConfig {
            type Layer = BoxBijector<$rank, C>;

            fn build(&self, site: &Site<$rank, C>) -> Result<Self::Layer, ConfigError> {
                self.$inside(site)?.build(site)
            }

            fn plan(&self, site: &Site<$rank, C>) -> Result<Plan<$rank>, ConfigError> {
                self.$inside(site)?.plan(site)
            }

            fn plan_input(&self, site: &Site<$rank, C>) -> Result<[usize; $rank], ConfigError> {
                self.$inside(site)?.plan_input(site)
            }
        }
    };
}

built_by!(2, of_vectors);
built_by!(4, of_images);
