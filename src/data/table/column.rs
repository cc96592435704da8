//! A column of a table.

use super::TableError;

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

    /// Whether numbers are finite, names in order, and codes those of names, in the column of this
    /// name.
    pub(super) fn validate(&self, column: &str) -> Result<(), TableError> {
        match self {
            Self::Numbers(numbers) => match numbers.iter().position(|x| !x.is_finite()) {
                None => Ok(()),
                Some(row) => {
                    let (column, found) = (column.to_owned(), numbers[row]);
                    Err(TableError::NoNumber { column, row: row + 1, found })
                }
            },
            Self::Texts { names, codes } => {
                if let Some(pair) = names.windows(2).find(|pair| pair[0] >= pair[1]) {
                    let (column, first, second) =
                        (column.to_owned(), pair[0].clone(), pair[1].clone());
                    return Err(TableError::Names { column, first, second });
                }
                match codes.iter().position(|&code| code as usize >= names.len()) {
                    None => Ok(()),
                    Some(row) => {
                        let (column, found) = (column.to_owned(), codes[row]);
                        let expected = names.len();
                        Err(TableError::Code { column, row: row + 1, expected, found })
                    }
                }
            }
        }
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
