//! Enums whose variants are laws: the arms of [`choice!`](crate::choice) for laws and their
//! configurations.

/// The arm of [`choice!`](crate::choice) for laws.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_of_laws {
    // One method, forwarded to the chosen law.
    (@each $self:ident, $method:ident $arguments:tt, $($variant:ident),+) => {
        match $self {
            $(Self::$variant(law) => $crate::choice_of_laws!(@call $method law $arguments)),+
        }
    };
    (@call $method:ident $law:ident ($($argument:expr),*)) => {
        $crate::law::Law::$method($law, $($argument),*)
    };
    ({$($head:tt)*} $name:ident $($(#[$meta:meta])* $variant:ident($law:ty)),+ $(,)?) => {
        #[derive(::burn::module::Module, Debug)]
        #[module(custom_display)]
        $($head)* enum $name {
            $($(#[$meta])* $variant($law)),+
        }

        $crate::choice! { @display $name $($variant)+ }

        impl $crate::law::Law for $name {
            fn n_params(&self) -> usize {
                $crate::choice_of_laws!(@each self, n_params(), $($variant),+)
            }

            fn theta_init(&self) -> Vec<f64> {
                $crate::choice_of_laws!(@each self, theta_init(), $($variant),+)
            }

            fn check_init(
                &self,
                network: &'static str,
                theta: &[f64],
            ) -> Result<(), $crate::ConfigError> {
                $crate::choice_of_laws!(@each self, check_init(network, theta), $($variant),+)
            }

            fn is_affine(&self) -> bool {
                $crate::choice_of_laws!(@each self, is_affine(), $($variant),+)
            }

            fn forward(
                &self,
                x: ::burn::tensor::Tensor<2>,
                theta: ::burn::tensor::Tensor<3>,
            ) -> (::burn::tensor::Tensor<2>, ::burn::tensor::Tensor<2>) {
                $crate::choice_of_laws!(@each self, forward(x, theta), $($variant),+)
            }

            fn forward_within(
                &self,
                x: ::burn::tensor::Tensor<3>,
                theta: ::burn::tensor::Tensor<3>,
                range: ::std::ops::Range<usize>,
            ) -> (::burn::tensor::Tensor<3>, ::burn::tensor::Tensor<1>) {
                $crate::choice_of_laws!(@each self, forward_within(x, theta, range), $($variant),+)
            }

            fn inverse_within(
                &self,
                z: ::burn::tensor::Tensor<3>,
                theta: ::burn::tensor::Tensor<3>,
                range: ::std::ops::Range<usize>,
            ) -> ::burn::tensor::Tensor<3> {
                $crate::choice_of_laws!(@each self, inverse_within(z, theta, range), $($variant),+)
            }

            fn inverse(
                &self,
                z: ::burn::tensor::Tensor<2>,
                theta: ::burn::tensor::Tensor<3>,
            ) -> ::burn::tensor::Tensor<2> {
                $crate::choice_of_laws!(@each self, inverse(z, theta), $($variant),+)
            }

            fn inverse_with_log_derivative(
                &self,
                z: ::burn::tensor::Tensor<2>,
                theta: ::burn::tensor::Tensor<3>,
            ) -> (::burn::tensor::Tensor<2>, ::burn::tensor::Tensor<2>) {
                $crate::choice_of_laws!(
                    @each self, inverse_with_log_derivative(z, theta), $($variant),+
                )
            }
        }
    };
}

/// The arm of [`choice!`](crate::choice) for laws together with their configurations.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_of_law_configs {
    (
        {$($head:tt)*} $name:ident {$($config_head:tt)*} $config:ident
        $($(#[$meta:meta])* $variant:ident($law:ty, $law_config:ty)),+ $(,)?
    ) => {
        $crate::choice_of_laws! { {$($head)*} $name $($(#[$meta])* $variant($law)),+ }

        #[derive(Debug, Clone, ::serde::Serialize)]
        $($config_head)* enum $config {
            $($(#[$meta])* $variant($law_config)),+
        }

        $crate::choice! { @read $config $($variant [($law_config)])+ }

        impl $config {
            /// Checks the configuration.
            ///
            /// # Errors
            /// The error of [`LawConfig::build`]($crate::law::LawConfig::build).
            pub fn validate(&self) -> Result<(), $crate::ConfigError> {
                $crate::law::LawConfig::build(self).map(|_| ())
            }
        }

        impl $crate::law::LawConfig for $config {
            type Law = $name;

            fn build(&self) -> Result<$name, $crate::ConfigError> {
                match self {
                    $(Self::$variant(config) => {
                        $crate::law::LawConfig::build(config).map($name::$variant)
                    }),+
                }
            }
        }

        $(impl From<$law_config> for $config {
            fn from(config: $law_config) -> Self {
                Self::$variant(config)
            }
        })+
    };
}
