//! The short name of a type, for messages.

/// Name of a type, without modules and type parameters.
pub(crate) fn type_name<B: ?Sized>() -> &'static str {
    let full = std::any::type_name::<B>();
    let plain = full.split('<').next().unwrap_or(full);
    plain.rsplit("::").next().unwrap_or(plain)
}
