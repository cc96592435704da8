//! Enums whose variants are networks: their arm of [`choice!`](crate::choice).

/// The arm of [`choice!`](crate::choice) for networks together with their configurations.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_of_nets {
    // The traits for one number of axes.
    (
        @impl $axes:tt $name:ident $config:ident
        $($variant:ident [$($only:tt)?] ($net_config:ty))+
    ) => {
        #[allow(unused_variables)]
        impl $crate::NetConfig<$axes> for $config {
            type Net = $name;
            const SETS_THETA_INIT: bool = true $(&& $crate::choice!(@axes $axes [$($only)?]
                <$net_config as $crate::NetConfig<$axes>>::SETS_THETA_INIT,
                true
            ))+;

            fn build(&self, site: &$crate::NetSite<$axes>) -> Result<$name, $crate::ConfigError> {
                match self {
                    $(Self::$variant(config) => $crate::choice!(@axes $axes [$($only)?]
                        $crate::NetConfig::<$axes>::build(config, site).map($name::$variant),
                        {
                            let name = stringify!($variant);
                            Err($crate::bijector::choice::other_axes(name, site.identity()).into())
                        }
                    )),+
                }
            }

            fn num_params(
                &self,
                site: &$crate::NetSite<$axes>,
            ) -> Result<usize, $crate::ConfigError> {
                match self {
                    $(Self::$variant(config) => $crate::choice!(@axes $axes [$($only)?]
                        $crate::NetConfig::<$axes>::num_params(config, site),
                        {
                            let name = stringify!($variant);
                            Err($crate::bijector::choice::other_axes(name, site.identity()).into())
                        }
                    )),+
                }
            }
        }

        #[allow(unused_variables)]
        impl $crate::Net<$axes> for $name {
            fn forward(
                &self,
                identity: ::burn::tensor::Tensor<$axes>,
                context: Option<::burn::tensor::Tensor<$axes>>,
            ) -> ::burn::tensor::Tensor<3> {
                match self {
                    $(Self::$variant(net) => $crate::choice!(@axes $axes [$($only)?]
                        $crate::Net::<$axes>::forward(net, identity, context),
                        {
                            let name = stringify!($variant);
                            let shape = identity.dims();
                            panic!("{}", $crate::bijector::choice::other_axes(name, shape))
                        }
                    )),+
                }
            }

            fn initialize(
                self,
                identity: ::burn::tensor::Tensor<$axes>,
                context: Option<::burn::tensor::Tensor<$axes>>,
            ) -> (Self, ::burn::tensor::Tensor<3>) {
                match self {
                    $(Self::$variant(net) => $crate::choice!(@axes $axes [$($only)?]
                        {
                            let (net, theta) =
                                $crate::Net::<$axes>::initialize(net, identity, context);
                            (Self::$variant(net), theta)
                        },
                        {
                            let name = stringify!($variant);
                            let shape = identity.dims();
                            panic!("{}", $crate::bijector::choice::other_axes(name, shape))
                        }
                    )),+
                }
            }

            fn check(&self, identity: [usize; $axes]) -> Result<(), $crate::ShapeError> {
                match self {
                    $(Self::$variant(net) => $crate::choice!(@axes $axes [$($only)?]
                        $crate::Net::<$axes>::check(net, identity),
                        Err($crate::bijector::choice::other_axes(stringify!($variant), identity))
                    )),+
                }
            }

            fn reads_context(&self) -> bool {
                match self {
                    $(Self::$variant(net) => $crate::choice!(@axes $axes [$($only)?]
                        $crate::Net::<$axes>::reads_context(net),
                        true
                    )),+
                }
            }
        }
    };
    (
        {$($head:tt)*} $name:ident {$($config_head:tt)*} $config:ident
        $($(#[$meta:meta])* $variant:ident $(<$only:tt>)? ($net:ty, $net_config:ty)),+ $(,)?
    ) => {
        #[derive(::burn::module::Module, Debug)]
        // There is one value per layer, so its size does not matter. A box would hide a module from
        // burn.
        #[allow(clippy::large_enum_variant)]
        #[module(custom_display)]
        $($head)* enum $name {
            $($(#[$meta])* $variant($net)),+
        }

        $crate::choice! { @display $name $($variant)+ }

        #[derive(Debug, Clone, ::serde::Serialize)]
        $($config_head)* enum $config {
            $($(#[$meta])* $variant($net_config)),+
        }

        $crate::choice! { @read $config $($variant [($net_config)])+ }

        impl ::burn::config::Config for $config {}

        $crate::choice_of_nets! { @impl 2 $name $config $($variant [$($only)?] ($net_config))+ }
        $crate::choice_of_nets! { @impl 4 $name $config $($variant [$($only)?] ($net_config))+ }

        $(impl From<$net_config> for $config {
            fn from(config: $net_config) -> Self {
                Self::$variant(config)
            }
        })+
    };
}
