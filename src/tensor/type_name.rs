//! The short name of a type, for messages.

/// Name of a type, without modules and type parameters.
pub(crate) fn type_name<B: ?Sized>() -> &'static str {
    let full = std::any::type_name::<B>();
    let plain = full.split('<').next().unwrap_or(full);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// Name of a type with its type parameters, all without modules: `(Tensor<2>, Tensor<4>)`.
pub(crate) fn full_type_name<B: ?Sized>() -> String {
    let inner = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut name = String::new();
    let mut rest = std::any::type_name::<B>();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| inner(c) != inner(first)).unwrap_or(rest.len());
        name += rest[..end].rsplit("::").next().unwrap_or_default();
        rest = &rest[end..];
    }
    name
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Int, Tensor};

    use super::*;

    #[test]
    fn modules_are_left_out() {
        assert_eq!(type_name::<Option<Tensor<2>>>(), "Option");
        assert_eq!(full_type_name::<()>(), "()");
        assert_eq!(full_type_name::<(Tensor<2>, Vec<String>)>(), "(Tensor<2>, Vec<String>)");
        assert!(full_type_name::<Tensor<4, Int>>().starts_with("Tensor<4, Int"));
    }
}
