//! Names of layers in messages and tables.

use std::borrow::Cow;

/// Name of a layer: its type, or `Invert<...>` of it where it runs inverted.
pub type LayerName = Cow<'static, str>;
