//! How the configurations that [`choice!`](crate::choice) makes are read from a file: a variant by
//! its name, with or without its fields.
//! ```text
//! { "ActNorm": { "log_scale_factor": 2.0 } }   a variant and fields of its configuration
//! { "ActNorm": {} }  or  "ActNorm"             a variant with all defaults
//! { "Swap": {} }     or  "Swap"                a variant without a configuration
//! ```
//! serde's derive accepts one of the two short forms for each variant: which one depends on whether
//! the variant holds a configuration, which a file does not show.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

/// An enum of configurations that a file names by their variants.
pub trait Variants: Sized {
    /// Name of the enum.
    const NAME: &'static str;

    /// The variant of this name, with the configuration that `config` holds.
    ///
    /// # Errors
    /// If no variant has the name, or `config` does not hold its configuration.
    fn read<'de, R: Deserializer<'de>>(variant: &str, config: R) -> Result<Self, R::Error>;
}

/// The configuration that `reader` holds.
///
/// # Errors
/// If it does not hold one variant.
pub fn read<'de, T: Variants, R: Deserializer<'de>>(reader: R) -> Result<T, R::Error> {
    reader.deserialize_any(Named(PhantomData))
}

/// Reads a variant by its name.
struct Named<T>(PhantomData<T>);

impl<'de, T: Variants> Visitor<'de> for Named<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a variant of {}", T::NAME)
    }

    fn visit_str<E: Error>(self, variant: &str) -> Result<T, E> {
        T::read(variant, NoFields(PhantomData))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let Some(variant) = map.next_key::<String>()? else {
            let text = format_args!("expected a variant of {}, found no name", T::NAME);
            return Err(A::Error::custom(text));
        };
        let found = map.next_value_seed(Holds(&variant, PhantomData))?;
        match map.next_key::<String>()? {
            None => Ok(found),
            Some(second) => {
                let text = format_args!(
                    "expected one variant of {}, found `{variant}` and `{second}`",
                    T::NAME
                );
                Err(A::Error::custom(text))
            }
        }
    }
}

/// Reads what the variant of this name holds.
struct Holds<'a, T>(&'a str, PhantomData<T>);

impl<'de, T: Variants> DeserializeSeed<'de> for Holds<'_, T> {
    type Value = T;

    fn deserialize<R: Deserializer<'de>>(self, reader: R) -> Result<T, R::Error> {
        T::read(self.0, reader)
    }
}

/// An object without fields: what a name alone holds.
struct NoFields<E>(PhantomData<E>);

impl<'de, E: Error> Deserializer<'de> for NoFields<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de, E: Error> MapAccess<'de> for NoFields<E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, E> {
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, _: V) -> Result<V::Value, E> {
        Err(E::custom("expected no value, as there is no key"))
    }
}

/// What a variant without a configuration may hold: no fields, or `null`.
pub struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<R: Deserializer<'de>>(reader: R) -> Result<Self, R::Error> {
        reader.deserialize_any(Nothing)
    }
}

impl<'de> Visitor<'de> for Nothing {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no fields")
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        match map.next_key::<String>()? {
            None => Ok(self),
            Some(field) => Err(A::Error::unknown_field(&field, &[])),
        }
    }
}
