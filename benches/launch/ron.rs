//! The notation of wgpu's recording, RON, as far as it is used there.

use std::str;

/// A value. Parts of a structure have names, those of a tuple none.
#[derive(Debug)]
pub enum Value {
    /// A number, a name or a string.
    Atom(String),
    List(Vec<Value>),
    Parts {
        name: String,
        parts: Vec<(String, Value)>,
    },
}

impl Value {
    /// Name of a variant.
    pub fn name(&self) -> &str {
        match self {
            Self::Atom(name) | Self::Parts { name, .. } => name,
            Self::List(_) => "",
        }
    }

    /// The part with a name.
    pub fn get(&self, field: &str) -> Option<&Value> {
        match self {
            Self::Parts { parts, .. } => {
                parts.iter().find(|(name, _)| name == field).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The part at an index.
    pub fn at(&self, index: usize) -> Option<&Value> {
        match self {
            Self::Parts { parts, .. } => parts.get(index).map(|(_, value)| value),
            Self::List(items) => items.get(index),
            Self::Atom(_) => None,
        }
    }

    pub fn items(&self) -> &[Value] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The number, which may stand in `Some(..)` or `PointerId(..)`.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Atom(text) => text.parse().ok(),
            Self::Parts { .. } => self.at(0)?.number(),
            Self::List(_) => None,
        }
    }

    /// The string, which may stand in `Some(..)`.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Atom(text) => Some(text),
            Self::Parts { .. } => self.at(0)?.text(),
            Self::List(_) => None,
        }
    }
}

/// Reads the values of a list that may not be closed yet, one at a time.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// After the bracket that opens the list.
    pub fn new(bytes: &'a [u8]) -> Self {
        let at = bytes.iter().position(|byte| *byte == b'[').map_or(0, |at| at + 1);
        Self { bytes, at }
    }

    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Letters, digits and signs up to the next mark.
    fn word(&mut self) -> Option<String> {
        self.peek()?;
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|byte| b"()[]{},:\"".contains(byte) || byte.is_ascii_whitespace())
            .unwrap_or(rest.len());
        self.at += end;
        Some(str::from_utf8(&rest[..end]).ok()?.to_owned())
    }

    fn string(&mut self) -> Option<Value> {
        let mut text = Vec::new();
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return Some(Value::Atom(String::from_utf8(text).ok()?)),
                b'\\' => {
                    text.push(*self.bytes.get(self.at)?);
                    self.at += 1;
                }
                other => text.push(other),
            }
        }
    }

    fn parts(&mut self, name: String, end: u8) -> Option<Value> {
        let mut parts = Vec::new();
        while !self.take(end) {
            let value = self.value()?;
            if self.take(b':') {
                parts.push((value.text()?.to_owned(), self.value()?));
            } else {
                parts.push((String::new(), value));
            }
            self.take(b',');
        }
        Some(Value::Parts { name, parts })
    }

    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string()
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.take(b']') {
                    items.push(self.value()?);
                    self.take(b',');
                }
                Some(Value::List(items))
            }
            b'{' => {
                self.at += 1;
                self.parts(String::new(), b'}')
            }
            _ => {
                let word = self.word()?;
                if self.take(b'(') {
                    return self.parts(word, b')');
                }
                (!word.is_empty()).then_some(Value::Atom(word))
            }
        }
    }
}

impl Iterator for Reader<'_> {
    /// Where the value begins, and the value.
    type Item = (usize, Value);

    fn next(&mut self) -> Option<(usize, Value)> {
        self.peek()?;
        let start = self.at;
        let value = self.value()?;
        self.take(b',');
        Some((start, value))
    }
}
