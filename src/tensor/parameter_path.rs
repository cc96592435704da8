//! The position of a visitor in a module: the path that names a parameter in errors and files.

/// The field names, indices and variant names between the root of a module and one of its
/// parameters.
#[derive(Debug, Default)]
pub(crate) struct ParameterPath(Vec<String>);

impl ParameterPath {
    pub(crate) fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    pub(crate) fn exit(&mut self) {
        self.0.pop();
    }

    /// The segments joined by dots, as burn's own records name parameters; empty if the module is a
    /// bare parameter.
    pub(crate) fn join(&self) -> String {
        self.0.join(".")
    }
}
