//! The structs that configure layers, networks and models: which fields are required, what the
//! others default to, and how a configuration is read from a file.
//!
//! burn's own derive makes every field required in a file and ignores a field that it does not
//! know, so a misspelt field would silently be left at its default.

#[doc(hidden)]
pub use ::paste::paste;

/// Defines the struct of a configuration, which burn's `Config` reads from a JSON file and writes
/// to one.
///
/// A field with `= value` is optional. It has a method `with_field` and may be missing in a file.
/// The other fields are required. They are the arguments of `new`, in their order. A field that is
/// not known, missing although required, or present twice is an error that names it.
///
/// The struct needs `Debug`, which burn requires, and has no type parameters; `Clone`, `Display`,
/// `Serialize` and `Deserialize` are added. Fields take comments and no other attributes. The
/// calling crate must depend on `burn`, and on `serde` with its feature `derive`.
///
/// ```
/// flowkit::config! {
///     /// Configuration of a network of my own.
///     #[derive(Debug)]
///     pub struct SinesConfig {
///         /// Number of hidden units.
///         pub width: usize,
///         /// Factor of the input.
///         pub frequency: f64 = 1.0,
///     }
/// }
///
/// let config = SinesConfig::new(8).with_frequency(2.0);
/// assert_eq!((config.width, config.frequency), (8, 2.0));
/// let config: SinesConfig = serde_json::from_str(r#"{ "width": 16 }"#)?;
/// assert_eq!((config.width, config.frequency), (16, 1.0));
///
/// let error = |text: &str| serde_json::from_str::<SinesConfig>(text).unwrap_err().to_string();
/// assert!(error(r#"{ "frequency": 2.0 }"#).starts_with("missing field `width`"));
/// assert!(error(r#"{ "width": 8, "width": 9 }"#).starts_with("duplicate field `width`"));
/// let unknown = "unknown field `freqency`, expected `width` or `frequency`";
/// assert!(error(r#"{ "width": 8, "freqency": 2.0 }"#).starts_with(unknown));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! config {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$doc:meta])* $field_vis:vis $field:ident: $type:ty $(= $default:expr)?),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, ::serde::Serialize)]
        $vis struct $name {
            $($(#[$doc])* $field_vis $field: $type,)*
        }

        $crate::config! {
            @methods $name [] [] [] $({[$(#[$doc])*] $field, $type $(, $default)?})*
        }

        impl ::burn::config::Config for $name {}

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&::burn::config::config_to_json(self))
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<R>(reader: R) -> ::std::result::Result<Self, R::Error>
            where
                R: ::serde::Deserializer<'de>,
            {
                const FIELDS: &[&str] = &[$(stringify!($field)),*];

                struct Fields;

                impl<'de> ::serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str(concat!("the fields of ", stringify!($name)))
                    }

                    // Without fields, the loop ends in its first pass.
                    #[allow(clippy::never_loop)]
                    fn visit_map<A>(self, mut map: A) -> ::std::result::Result<$name, A::Error>
                    where
                        A: ::serde::de::MapAccess<'de>,
                    {
                        use ::serde::de::Error;
                        $(let mut $field: Option<$type> = None;)*
                        while let Some(key) = map.next_key::<String>()? {
                            match key.as_str() {
                                $(
                                    stringify!($field) if $field.is_some() => {
                                        return Err(A::Error::duplicate_field(stringify!($field)));
                                    }
                                    stringify!($field) => $field = Some(map.next_value()?),
                                )*
                                other => return Err(A::Error::unknown_field(other, FIELDS)),
                            }
                        }
                        Ok($name {
                            $($field: match $field {
                                Some(value) => value,
                                None => $crate::config!(@missing A, $field $(, $default)?),
                            },)*
                        })
                    }
                }

                reader.deserialize_struct(stringify!($name), FIELDS, Fields)
            }
        }
    };

    // The value of a field that a file leaves out.
    (@missing $map:ident, $field:ident) => {
        return Err($map::Error::missing_field(stringify!($field)))
    };
    (@missing $map:ident, $field:ident, $default:expr) => { $default };

    // One field after another: an argument of `new`, or a default and a method that changes it.
    (
        @methods $name:ident [$($args:tt)*] [$($values:tt)*] [$($with:tt)*]
        {$docs:tt $field:ident, $type:ty} $($rest:tt)*
    ) => {
        $crate::config! {
            @methods $name [$($args)* $field: $type,] [$($values)* $field,] [$($with)*] $($rest)*
        }
    };
    (
        @methods $name:ident [$($args:tt)*] [$($values:tt)*] [$($with:tt)*]
        {$docs:tt $field:ident, $type:ty, $default:expr} $($rest:tt)*
    ) => {
        $crate::config! {
            @methods $name [$($args)*] [$($values)* $field: $default,]
            [$($with)* {$docs $field, $type}] $($rest)*
        }
    };
    (
        @methods $name:ident [$($args:tt)*] [$($values:tt)*]
        [$({[$(#[$doc:meta])*] $field:ident, $type:ty})*]
    ) => {
        $crate::config::paste! {
            // A program need not call every method of its own configuration.
            #[allow(dead_code)]
            impl $name {
                /// The configuration with the default of every field that is no argument.
                #[allow(clippy::too_many_arguments, clippy::new_without_default)]
                pub fn new($($args)*) -> Self {
                    Self { $($values)* }
                }

                $(
                    #[doc = concat!("Sets the field `", stringify!($field), "`.")]
                    #[doc = ""]
                    $(#[$doc])*
                    pub fn [<with_ $field>](mut self, $field: $type) -> Self {
                        self.$field = $field;
                        self
                    }
                )*
            }
        }
    };
}
