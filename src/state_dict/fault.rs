//! What is wrong with a file, before the file has a name.

use std::path::Path;

use super::StateDictError;

/// A reason not to read a file, with the array in which it was found.
#[derive(Debug)]
pub(super) struct Fault {
    kind: Kind,
    array: Option<String>,
    text: String,
}

#[derive(Debug)]
enum Kind {
    /// A rule of the format is broken.
    Broken,
    /// The format allows it, and this crate does not read it.
    Unsupported,
}

impl Fault {
    pub(super) fn broken(text: impl Into<String>) -> Self {
        Self { kind: Kind::Broken, array: None, text: text.into() }
    }

    pub(super) fn unsupported(text: impl Into<String>) -> Self {
        Self { kind: Kind::Unsupported, array: None, text: text.into() }
    }

    /// The same, found in this array.
    pub(super) fn of(self, array: &str) -> Self {
        Self { array: Some(array.to_owned()), ..self }
    }

    /// The same, with what to do about it, unless the file is broken.
    pub(super) fn with_remedy(mut self, remedy: &str) -> Self {
        if matches!(self.kind, Kind::Unsupported) {
            self.text = format!("{}; {remedy}", self.text);
        }
        self
    }

    /// The error for a file that was read in a format.
    pub(super) fn in_file(self, path: &Path, format: &'static str) -> StateDictError {
        let Self { kind, array, text } = self;
        let reason = match array {
            Some(array) => format!("`{array}`: {text}"),
            None => text,
        };
        let path = path.into();
        match kind {
            Kind::Broken => StateDictError::Malformed { path, format, reason },
            Kind::Unsupported => StateDictError::Unsupported { path, format, reason },
        }
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::broken(text)
    }
}

impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Self::broken(text)
    }
}
