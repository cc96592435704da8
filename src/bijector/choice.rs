//! The macro [`choice!`](crate::choice), which defines enums of modules, and its arm for bijectors.

use crate::error::ShapeError;

/// Defines an enum of modules of one kind: bijectors, laws, networks or surjections. The enum is a
/// module of that kind too. It also defines an enum of configurations of layers.
///
/// | kind | makes |
/// |---|---|
/// | `Bijector` | a [`Bijector`](crate::Bijector) for every number of axes and every condition that all variants accept |
/// | `Law`, or `Law, Name: LawConfig` | a [`Law`](crate::law::Law), and the enum of its configurations |
/// | `Net, Name: NetConfig` | a [`Net`](crate::Net), and the enum of its configurations |
/// | `Surjection<4>` | a [`Surjection`](crate::Surjection) for tensors with that number of axes; the data of all variants has the same type |
/// | `LayerConfig` | a [`LayerConfig`](crate::LayerConfig) of boxed layers, whose variants a JSON file names; [`any_layer`](mod@crate::any_layer) has an example |
///
/// For the kinds `Net` and `LayerConfig`, a variant is for vectors, for images or for both:
/// `Variant<2>(...)` and `Variant<4>(...)` state the number of axes of its tensors, `Variant(...)`
/// accepts both. Use with the other number is an error that names the variant and its number of
/// axes.
///
/// In a file, a variant whose configuration has only defaults may be its name alone.
///
/// The macro adds two variants to an enum of `LayerConfig`: `Invert`, the inverse of a layer, and
/// `Stack`, a list of layers. A variant without brackets is a layer that is its own configuration.
///
/// The name of the variant is a segment of the paths of its parameters. The calling crate must
/// depend on `burn`, and on `serde` for configurations.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::{
///     Bijector, Conv1x1, LayerConfig, Order, Permutation, PermutationConfig, Site, choice,
/// };
///
/// choice! {
///     /// How channels are mixed.
///     pub enum Mixing: Bijector {
///         /// By a matrix.
///         Trained(Conv1x1),
///         /// By their order.
///         Fixed(Permutation),
///     }
/// }
///
/// let device = Device::flex();
/// let order = Order::Explicit(vec![1, 0]);
/// let order = PermutationConfig::new().with_order(order).build(&Site::new([1, 2], &device))?;
/// let mixing = Mixing::Fixed(order);
/// let x = Tensor::<2>::from_data([[1.0, 2.0]], &device);
/// let (z, _) = mixing.forward(x, &());
/// assert_eq!(z.to_data(), Tensor::<2>::from_data([[2.0, 1.0]], &device).to_data());
/// # Ok::<(), flowkit::ConfigError>(())
/// ```
#[macro_export]
macro_rules! choice {
    // `$here` for a variant that takes tensors with this number of axes, `$elsewhere` for one that
    // takes only the other number.
    (@axes $axes:tt [] $here:expr, $elsewhere:expr) => { $here };
    (@axes 2 [2] $here:expr, $elsewhere:expr) => { $here };
    (@axes 4 [4] $here:expr, $elsewhere:expr) => { $here };
    (@axes 2 [4] $here:expr, $elsewhere:expr) => { $elsewhere };
    (@axes 4 [2] $here:expr, $elsewhere:expr) => { $elsewhere };
    // An enum of modules is displayed as the module of its variant.
    (@display $name:ident $($variant:ident)+) => {
        impl ::burn::module::ModuleDisplay for $name {
            fn format(&self, settings: ::burn::module::DisplaySettings) -> String {
                match self {
                    $(Self::$variant(inner) => $crate::bijector::choice::shown(
                        stringify!($variant),
                        ::burn::module::ModuleDisplay::format(inner, settings),
                    )),+
                }
            }
        }
    };
    // How an enum of configurations is read from a file; each variant with what it holds.
    (@read $name:ident $($variant:ident $holds:tt)+) => {
        impl $crate::bijector::variant::Variants for $name {
            const NAME: &'static str = stringify!($name);

            fn read<'de, R: ::serde::Deserializer<'de>>(
                variant: &str,
                config: R,
            ) -> ::std::result::Result<Self, R::Error> {
                match variant {
                    $(stringify!($variant) => $crate::choice!(@held $variant $holds config),)+
                    other => Err(::serde::de::Error::unknown_variant(
                        other,
                        &[$(stringify!($variant)),+],
                    )),
                }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<R: ::serde::Deserializer<'de>>(
                reader: R,
            ) -> ::std::result::Result<Self, R::Error> {
                $crate::bijector::variant::read(reader)
            }
        }
    };
    (@held $variant:ident [] $config:ident) => {
        <$crate::bijector::variant::Nothing as ::serde::Deserialize>::deserialize($config)
            .map(|_| Self::$variant)
    };
    (@held $variant:ident [($type:ty)] $config:ident) => {
        <$type as ::serde::Deserialize>::deserialize($config).map(Self::$variant)
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident : Bijector { $($variants:tt)+ }) => {
        $crate::choice_of_bijectors! { {$(#[$meta])* $vis} $name $($variants)+ }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident : Surjection<$D:literal> { $($variants:tt)+ }) => {
        $crate::choice_of_surjections! { {$(#[$meta])* $vis} $name $D $($variants)+ }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident : Law { $($variants:tt)+ }) => {
        $crate::choice_of_laws! { {$(#[$meta])* $vis} $name $($variants)+ }
    };
    (
        $(#[$meta:meta])* $vis:vis enum $name:ident : Law,
        $(#[$config_meta:meta])* $config:ident : LawConfig { $($variants:tt)+ }
    ) => {
        $crate::choice_of_law_configs! {
            {$(#[$meta])* $vis} $name {$(#[$config_meta])* $vis} $config $($variants)+
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident : LayerConfig { $($variants:tt)+ }) => {
        $crate::choice_of_layer_configs! { {$(#[$meta])* $vis} $name $($variants)+ }
    };
    (
        $(#[$meta:meta])* $vis:vis enum $name:ident : Net,
        $(#[$config_meta:meta])* $config:ident : NetConfig { $($variants:tt)+ }
    ) => {
        $crate::choice_of_nets! {
            {$(#[$meta])* $vis} $name {$(#[$config_meta])* $vis} $config $($variants)+
        }
    };
}

/// The error of a variant that takes tensors with 2 axes where they have 4, or the reverse.
#[doc(hidden)]
pub fn other_axes<const D: usize>(variant: &'static str, shape: [usize; D]) -> ShapeError {
    ShapeError::Rank { layer: variant, expected: 6 - D, shape: shape.to_vec() }
}

/// The arm of [`choice!`](crate::choice) for bijectors: a composition of one member, the chosen
/// one.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_of_bijectors {
    ({$($head:tt)*} $name:ident $($(#[$meta:meta])* $variant:ident($type:ty)),+ $(,)?) => {
        #[derive(::burn::module::Module, Debug)]
        // Modules hold handles of tensors, some hundred bytes each. A box would hide a module from
        // burn.
        #[allow(clippy::large_enum_variant)]
        #[module(custom_display)]
        $($head)* enum $name {
            $($(#[$meta])* $variant($type)),+
        }

        $crate::choice! { @display $name $($variant)+ }

        impl<const D: usize> $crate::ShapeMap<D> for $name
        where
            $($type: $crate::ShapeMap<D>,)+
        {
            fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], $crate::ShapeError> {
                match self {
                    $(Self::$variant(inner) => $crate::ShapeMap::output_shape(inner, shape)),+
                }
            }

            fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], $crate::ShapeError> {
                match self {
                    $(Self::$variant(inner) => $crate::ShapeMap::input_shape(inner, shape)),+
                }
            }
        }

        impl<const D: usize, C: $crate::Context> $crate::bijector::Members<D, C> for $name
        where
            $($type: $crate::Bijector<D, C>,)+
        {
            fn members(&self) -> Vec<$crate::bijector::Entry<'_, D, C>> {
                vec![match self {
                    $(Self::$variant(inner) => {
                        $crate::bijector::Entry::variant(stringify!($variant), inner)
                    }),+
                }]
            }
        }

        impl<const D: usize, C: $crate::Context> $crate::Bijector<D, C> for $name
        where
            $($type: $crate::Bijector<D, C>,)+
        {
            $crate::run_members!(D, C);

            fn initialize(
                self,
                x: ::burn::tensor::Tensor<D>,
                context: &C,
            ) -> (Self, ::burn::tensor::Tensor<D>) {
                match self {
                    $(Self::$variant(inner) => {
                        let (inner, z) = $crate::Bijector::initialize(inner, x, context);
                        (Self::$variant(inner), z)
                    }),+
                }
            }
        }
    };
}

/// How an enum of modules is displayed: as the module of its variant, within the name of the
/// variant if the module does not have that name.
#[doc(hidden)]
pub fn shown(variant: &str, module: String) -> String {
    let after = module.strip_prefix(variant);
    match after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric())) {
        true => module,
        false => format!("{variant}({module})"),
    }
}
