//! Columns of a table whose values are classes: texts, or numbers that are names.

use std::collections::HashMap;

use super::column::{Column, Values};
use super::{Table, TableError};

impl Table {
    /// The classes of a column: each text that occurs, once, in the order of their characters. A
    /// number is the text that it is written as.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`].
    pub fn classes(&self, name: &str) -> Result<Vec<String>, TableError> {
        let mut classes = self.texts(name)?;
        classes.sort_unstable();
        classes.dedup();
        Ok(classes)
    }

    /// The same table with the column as numbers: those of its classes, which are counted from 0.
    /// A flow describes such a column with [`ColumnMap::Class`](crate::ColumnMap::Class).
    ///
    /// ```
    /// use flowkit::ColumnMap;
    /// use flowkit::data::table::{Column, Table};
    ///
    /// let kinds = Column::texts("kind", &["oak", "ash", "oak"]);
    /// let heights = Column::numbers("height", vec![21.0, 17.5, 24.0]);
    /// let table = Table::new(vec![kinds, heights])?;
    /// let classes = table.classes("kind")?;
    /// assert_eq!(classes, ["ash", "oak"]);
    /// let table = table.coded("kind", &classes)?;
    /// assert_eq!(table.numbers("kind")?, [1.0, 0.0, 1.0]);
    /// let mut maps = table.column_maps()?;
    /// table.set_integer_map(&mut maps, "kind", ColumnMap::class(classes.len()))?;
    /// # Ok::<(), flowkit::data::table::TableError>(())
    /// ```
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`]; [`TableError::UnknownText`] names a row whose value is none
    /// of the classes.
    pub fn coded<T: AsRef<str>>(&self, name: &str, classes: &[T]) -> Result<Self, TableError> {
        let places: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(place, class)| (class.as_ref(), place)).collect();
        let code = |(row, text): (usize, String)| match places.get(text.as_str()) {
            Some(&place) => Ok(place as f64),
            None => Err(TableError::UnknownText {
                column: name.to_owned(),
                row: row + 1,
                expected: classes.iter().map(|class| class.as_ref().to_owned()).collect(),
                found: text,
            }),
        };
        let codes =
            self.texts(name)?.into_iter().enumerate().map(code).collect::<Result<_, _>>()?;
        let mut table = self.clone();
        if let Some(column) = table.columns.iter_mut().find(|column| column.name == name) {
            *column = Column::numbers(name, codes);
        }
        Ok(table)
    }

    /// The texts of a column; numbers as they are written.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, TableError> {
        Ok(match &self.column(name)?.values {
            Values::Texts { names, codes } => {
                codes.iter().map(|&code| names[code as usize].clone()).collect()
            }
            Values::Numbers(numbers) => numbers.iter().map(f64::to_string).collect(),
        })
    }
}
