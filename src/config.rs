//! The structs that configure layers, networks and models: which fields are required, what the
//! others default to, and how a configuration is read from a file.
//!
//! burn's own derive makes every field required in a file and ignores a field that it does not
//! know, so a misspelt field would silently be left at its default.

/// Defines a configuration.
///
/// A field with `= value` is optional. It has a method `with_field` and may be missing in a file.
/// The other fields are required. They are the arguments of `new`, in their order. A field that is
/// not known, missing although required, or present twice is an error that names it.
macro_rules! config {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* pub $field:ident: $type:ty $(= $default:expr)?),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, ::serde::Serialize)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        config!(@methods $name [] [] [] $({[$(#[$doc])*] $field, $type $(, $default)?})*);

        impl ::burn::config::Config for $name {}

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&::burn::config::config_to_json(self))
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<R: ::serde::Deserializer<'de>>(reader: R) -> Result<Self, R::Error> {
                const FIELDS: &[&str] = &[$(stringify!($field)),*];

                struct Fields;

                impl<'de> ::serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str(concat!("the fields of ", stringify!($name)))
                    }

                    // Without fields, the loop ends in its first pass.
                    #[allow(clippy::never_loop)]
                    fn visit_map<A>(self, mut map: A) -> Result<$name, A::Error>
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
                                None => config!(@missing A, $field $(, $default)?),
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
        config!(
            @methods $name [$($args)* $field: $type,] [$($values)* $field,] [$($with)*] $($rest)*
        );
    };
    (
        @methods $name:ident [$($args:tt)*] [$($values:tt)*] [$($with:tt)*]
        {$docs:tt $field:ident, $type:ty, $default:expr} $($rest:tt)*
    ) => {
        config!(
            @methods $name [$($args)*] [$($values)* $field: $default,]
            [$($with)* {$docs $field, $type}] $($rest)*
        );
    };
    (
        @methods $name:ident [$($args:tt)*] [$($values:tt)*]
        [$({[$(#[$doc:meta])*] $field:ident, $type:ty})*]
    ) => {
        ::paste::paste! {
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
