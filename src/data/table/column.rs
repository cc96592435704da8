//! A column of a table.

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Finite numbers.
    Numbers(Vec<f64>),
    /// Texts: row `i` has `names[codes[i]]`.
    Texts {
        /// The texts that occur, each once, in the order of their characters.
        names: Vec<String>,
        /// For each row, the place of its text in `names`.
        codes: Vec<u32>,
    },
}

impl Values {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts { codes, .. } => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of some rows, in this order.
    pub(super) fn rows(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(rows.iter().map(|&row| numbers[row]).collect()),
            // The names stay, so that a code means the same text in every part of a table.
            Self::Texts { names, codes } => Self::Texts {
                names: names.clone(),
                codes: rows.iter().map(|&row| codes[row]).collect(),
            },
        }
    }
}

/// A column of a [`Table`](super::Table).
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, in the header.
    pub name: String,
    /// Its values, one for each row.
    pub values: Values,
}

impl Column {
    /// A column of numbers.
    pub fn numbers(name: impl Into<String>, numbers: Vec<f64>) -> Self {
        Self { name: name.into(), values: Values::Numbers(numbers) }
    }

    /// A column of texts.
    pub fn texts<T: AsRef<str>>(name: impl Into<String>, texts: &[T]) -> Self {
        let mut names: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names.dedup();
        let code = |text: &T| names.partition_point(|name| *name < text.as_ref()) as u32;
        let codes = texts.iter().map(code).collect();
        let names = names.into_iter().map(str::to_owned).collect();
        Self { name: name.into(), values: Values::Texts { names, codes } }
    }
}
