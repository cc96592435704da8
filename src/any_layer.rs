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
//! configuration, or with all defaults, may be its name alone. `Stack` is a list of layers,
//! `Invert` the inverse of one. The same file works for vectors and images; a layer for images only
//! is an error for vectors, with its place, and the reverse.
//!
//! [`choice!`](crate::choice) makes an enum that has layers of your own too. Your laws and networks
//! join in the same way, as parameters of a [`CouplingConfig`].
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::{ActNormConfig, AnyLayerConfig, LayerConfig, Sigmoid, Site, choice};
//!
//! choice! {
//!     /// The layers of my files.
//!     pub enum MyLayerConfig: LayerConfig {
//!         /// A layer without a configuration: `"Sigmoid"`.
//!         Sigmoid,
//!         /// One of my own; `ActNormConfig` is in its place here.
//!         Mine(ActNormConfig),
//!         /// Any layer of flowkit.
//!         Ours(AnyLayerConfig),
//!     }
//! }
//!
//! let text = r#"[{ "Mine": {} }, { "Stack": [{ "Invert": "Sigmoid" }, { "Ours": "Swap" }] }]"#;
//! let layers: Vec<MyLayerConfig> = serde_json::from_str(text)?;
//! assert_eq!(layers.build(&Site::new([1, 3], &Device::flex()))?.len(), 2);
//! let error = layers.build(&Site::new([1, 1], &Device::flex())).unwrap_err();
//! let text = "[1][1]: Swap: axis 1 must have a length of at least 2, found shape [1, 1]";
//! assert_eq!(error.to_string(), text);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::autoregressive::{MadeConfig, MaskedAutoregressiveConfig, ResMadeConfig};
use crate::bijector::{BlockwiseConfig, ChainRuleConfig, MultiScaleConfig};
use crate::conditioner::AnyNetConfig;
use crate::coupling::{CouplingConfig, MaskedCouplingConfig};
use crate::elementwise::{
    ColumnsConfig, ElementwiseConfig, Exp, LeakyReluConfig, LogitConfig, ScalarAffineConfig,
    Sigmoid, Softplus, Tanh,
};
use crate::law::AnyLawConfig;
use crate::linear::{
    ActNormConfig, ChannelMatrixConfig, Conv1x1Config, HouseholderConfig, PositionNormConfig,
};
use crate::reshape::{PartitionConfig, PermutationConfig, SqueezeConfig, Swap};

crate::choice! {
    /// A layer that a file chooses. The head of this module shows one.
    pub enum AnyLayerConfig: LayerConfig {
        /// [`ActNorm`](crate::ActNorm).
        ActNorm(ActNormConfig),
        /// [`PositionNorm`](crate::PositionNorm).
        PositionNorm(PositionNormConfig),
        /// [`ChannelMatrix`](crate::ChannelMatrix).
        ChannelMatrix(ChannelMatrixConfig),
        /// [`Conv1x1`](crate::Conv1x1).
        Conv1x1(Conv1x1Config),
        /// [`Householder`](crate::Householder).
        Householder(HouseholderConfig),
        /// [`Permutation`](crate::Permutation).
        Permutation(PermutationConfig),
        /// [`Elementwise`](crate::Elementwise).
        Elementwise(ElementwiseConfig<AnyLawConfig>),
        /// [`ScalarAffine`](crate::ScalarAffine).
        ScalarAffine(ScalarAffineConfig),
        /// [`LeakyRelu`](crate::LeakyRelu).
        LeakyRelu(LeakyReluConfig),
        /// [`Logit`](crate::Logit).
        Logit(LogitConfig),
        /// [`Coupling`](crate::Coupling).
        Coupling(CouplingConfig<AnyLawConfig, AnyNetConfig>),
        /// [`MaskedCoupling`](crate::MaskedCoupling).
        MaskedCoupling(MaskedCouplingConfig<AnyLawConfig, AnyNetConfig>),
        /// [`Swap`].
        Swap,
        /// [`Sigmoid`].
        Sigmoid,
        /// [`Tanh`].
        Tanh,
        /// [`Softplus`].
        Softplus,
        /// [`Exp`].
        Exp,
        /// [`Squeeze`](crate::Squeeze), for images.
        Squeeze<4>(SqueezeConfig),
        /// [`Partition`](crate::Partition), for images.
        Partition<4>(PartitionConfig),
        /// [`MultiScale`](crate::MultiScale), for images.
        MultiScale<4>(MultiScaleConfig<AnyLayerConfig>),
        /// [`Columns`](crate::Columns), for vectors.
        Columns<2>(ColumnsConfig),
        /// [`Blockwise`](crate::Blockwise), for vectors.
        Blockwise<2>(BlockwiseConfig<AnyLayerConfig>),
        /// [`ChainRule`](crate::ChainRule), for vectors.
        ChainRule<2>(ChainRuleConfig<Box<AnyLayerConfig>, Box<AnyLayerConfig>>),
        /// [`MaskedAutoregressive`](crate::MaskedAutoregressive), for vectors.
        MaskedAutoregressive<2>(MaskedAutoregressiveConfig<AnyLawConfig, MadeConfig>),
        /// [`MaskedAutoregressive`](crate::MaskedAutoregressive) of a residual network, for
        /// vectors.
        ResidualAutoregressive<2>(MaskedAutoregressiveConfig<AnyLawConfig, ResMadeConfig>),
    }
}

/// The arm of [`choice!`](crate::choice) for configurations of layers.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_of_layer_configs {
    // The variants, read one by one: what they hold, a pattern for it, and the configuration.
    (@read $head:tt [$($done:tt)*]
        $(#[$meta:meta])* $variant:ident $(<$only:tt>)? ($config:ty) $(, $($rest:tt)*)?
    ) => {
        $crate::choice_of_layer_configs! { @read $head [
            $($done)* {[$(#[$meta])*] $variant [$($only)?] [($config)] [(config)] [config]}
        ] $($($rest)*)? }
    };
    (@read $head:tt [$($done:tt)*]
        $(#[$meta:meta])* $variant:ident $(<$only:tt>)? $(, $($rest:tt)*)?
    ) => {
        $crate::choice_of_layer_configs! { @read $head [
            $($done)* {[$(#[$meta])*] $variant [$($only)?] [] [] [&$variant::new()]}
        ] $($($rest)*)? }
    };
    (@read {{$($head:tt)*} $name:ident} [$({
        [$($meta:tt)*] $variant:ident $only:tt [$($holds:tt)*] $pattern:tt $config:tt
    })+]) => {
        #[derive(Debug, Clone, ::serde::Serialize)]
        $($head)* enum $name {
            $($($meta)* $variant $($holds)*,)+
            /// The inverse of a layer.
            Invert(Box<$name>),
            /// Layers in a row.
            Stack(Vec<$name>),
        }

        $crate::choice! { @read $name
            $($variant [$($holds)*])+ Invert [(Box<$name>)] Stack [(Vec<$name>)]
        }

        impl ::burn::config::Config for $name {}

        $crate::choice_of_layer_configs! { @impl 2 $name $({$variant $only $pattern $config})+ }
        $crate::choice_of_layer_configs! { @impl 4 $name $({$variant $only $pattern $config})+ }
    };

    // The trait for one number of axes.
    (@impl $axes:tt $name:ident $($variant:tt)+) => {
        impl<C: $crate::Features<$axes>> $crate::LayerConfig<$axes, C> for $name {
            type Layer = $crate::BoxBijector<$axes, C>;

            fn build(
                &self,
                site: &$crate::Site<$axes, C>,
            ) -> Result<Self::Layer, $crate::ConfigError> {
                $crate::choice_of_layer_configs!(@each $axes self, site, build, $($variant)+)
            }

            fn plan(
                &self,
                site: &$crate::Site<$axes, C>,
            ) -> Result<$crate::Plan<$axes>, $crate::ConfigError> {
                $crate::choice_of_layer_configs!(@each $axes self, site, plan, $($variant)+)
            }

            fn plan_inverse(
                &self,
                site: &$crate::Site<$axes, C>,
            ) -> Result<$crate::Plan<$axes>, $crate::ConfigError> {
                $crate::choice_of_layer_configs!(@each $axes self, site, plan_inverse, $($variant)+)
            }
        }
    };

    // One method, called on the chosen configuration in a box.
    (@each $axes:tt $self:ident, $site:ident, $method:ident,
        $({$variant:ident $only:tt [$($pattern:tt)*] [$($config:tt)*]})+
    ) => {
        match $self {
            $(
                #[allow(unused_variables)]
                Self::$variant $($pattern)* => $crate::choice!(@axes $axes $only
                    $crate::LayerConfig::<$axes, C>::$method(
                        &$crate::Boxed::new($($config)*),
                        $site,
                    ),
                    {
                        let name = stringify!($variant);
                        Err($crate::bijector::choice::other_axes(name, $site.shape()).into())
                    }
                ),
            )+
            Self::Invert(inner) => {
                let inner = $crate::Invert::new(&**inner);
                $crate::LayerConfig::<$axes, C>::$method(&$crate::Boxed::new(inner), $site)
            }
            Self::Stack(layers) => {
                $crate::LayerConfig::<$axes, C>::$method(&$crate::Boxed::new(layers), $site)
            }
        }
    };

    ({$($head:tt)*} $name:ident $($variants:tt)+) => {
        $crate::choice_of_layer_configs! { @read {{$($head)*} $name} [] $($variants)+ }
    };
}
