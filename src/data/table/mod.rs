//! Tables: rows of numbers and texts, from a CSV file.
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::data::table::Table;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("rows.csv");
//! # std::fs::write(&path, "width,height,kind\n1,2.5,a\n2,0.5,b\n4,1,a\n3,2,b\n")?;
//! let table = Table::read_csv(&path)?;
//! let sizes = table.select(&["height", "width"])?;
//! let (train, test) = sizes.split(0.25, 7)?;
//! assert_eq!((train.len(), test.len()), (3, 1));
//! assert_eq!(sizes.points(&Device::flex())?.dims(), [4, 2]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! A table of numbers is data of a fit ([`FitData`](crate::train::fit::FitData)).

mod classes;
mod column;
mod conditions;
mod csv;
mod error;
mod lines;
mod maps;

use burn::tensor::{Device, Tensor, TensorData};

pub use self::csv::{CsvConfig, Missing};
pub use column::{Column, Values};
pub use conditions::{Conditions, Feature};
pub use error::{MixedCells, TableError};
pub use maps::{ColumnChoice, ColumnMaps, Reason, RepeatedValue};

use crate::random::shuffle::shuffled;

/// The stream of the shuffle that splits a table. No epoch has this number.
const SPLIT_STREAM: u64 = u64::MAX - 1;

/// Rows of numbers and texts, in named columns of equal length, with a weight for each row if there
/// are weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    weights: Option<Vec<f64>>,
    dropped: usize,
}

impl Table {
    /// A table of columns.
    ///
    /// # Errors
    /// [`TableError::NoColumns`], [`TableError::Lengths`], [`TableError::Repeated`] for a name that
    /// two columns have, and of a column's values [`TableError::NoNumber`], [`TableError::Names`]
    /// and [`TableError::Code`].
    pub fn new(columns: Vec<Column>) -> Result<Self, TableError> {
        let expected = columns.first().ok_or(TableError::NoColumns)?.values.len();
        for (place, Column { name, values }) in columns.iter().enumerate() {
            if values.len() != expected {
                let (column, found) = (name.clone(), values.len());
                return Err(TableError::Lengths { column, expected, found });
            }
            if columns[..place].iter().any(|earlier| earlier.name == *name) {
                return Err(TableError::Repeated { found: name.clone() });
            }
            values.validate(name)?;
        }
        Ok(Self { columns, weights: None, dropped: 0 })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.columns[0].values.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns, in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of the columns, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// A column by its name.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`].
    pub fn column(&self, name: &str) -> Result<&Column, TableError> {
        Ok(&self.columns[self.place(name)?])
    }

    fn place(&self, name: &str) -> Result<usize, TableError> {
        self.names().position(|found| found == name).ok_or_else(|| TableError::UnknownColumn {
            expected: self.names().map(str::to_owned).collect(),
            found: name.to_owned(),
        })
    }

    /// Number of rows that the reader left out because a value was missing.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The weights of the rows, if there are any.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Some columns, in this order. The weights stay.
    ///
    /// # Errors
    /// [`TableError::NoColumns`], [`TableError::UnknownColumn`], [`TableError::Repeated`].
    pub fn select<T: AsRef<str>>(&self, names: &[T]) -> Result<Self, TableError> {
        let mut columns: Vec<Column> = Vec::with_capacity(names.len());
        for name in names {
            let column = self.column(name.as_ref())?;
            if columns.iter().any(|earlier| earlier.name == column.name) {
                return Err(TableError::Repeated { found: column.name.clone() });
            }
            columns.push(column.clone());
        }
        if columns.is_empty() {
            return Err(TableError::NoColumns);
        }
        Ok(Self { columns, weights: self.weights.clone(), dropped: self.dropped })
    }

    /// The table without some columns.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`], and [`TableError::NoColumns`] if none is left.
    pub fn without<T: AsRef<str>>(&self, names: &[T]) -> Result<Self, TableError> {
        for name in names {
            self.place(name.as_ref())?;
        }
        let left: Vec<&str> =
            self.names().filter(|name| names.iter().all(|left| left.as_ref() != *name)).collect();
        self.select(&left)
    }

    /// The table with a column as the weights of its rows, and no longer as data.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`], [`TableError::Text`], [`TableError::Weight`], and
    /// [`TableError::NoColumns`] if it is the only column.
    pub fn weighted_by(&self, name: &str) -> Result<Self, TableError> {
        let weights = self.numbers(name)?.to_vec();
        if let Some(row) = weights.iter().position(|weight| *weight < 0.0) {
            let (column, found) = (name.to_owned(), weights[row]);
            return Err(TableError::Weight { column, row: row + 1, found });
        }
        Ok(Self { weights: Some(weights), ..self.without(&[name])? })
    }

    /// The numbers of a column.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`], [`TableError::Text`].
    pub fn numbers(&self, name: &str) -> Result<&[f64], TableError> {
        numbers(self.column(name)?)
    }

    /// Some rows, in this order, with their weights.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn rows(&self, rows: &[usize]) -> Self {
        let column = |Column { name, values }: &Column| Column {
            name: name.clone(),
            values: values.rows(rows),
        };
        let weights = self.weights.as_ref();
        Self {
            columns: self.columns.iter().map(column).collect(),
            weights: weights.map(|weights| rows.iter().map(|&row| weights[row]).collect()),
            dropped: self.dropped,
        }
    }

    /// Two tables that share no row: the rest, and a random share of the rows, in their order. The
    /// same for the same seed.
    ///
    /// # Errors
    /// [`TableError::Share`] unless both have a row.
    pub fn split(&self, share: f64, seed: u64) -> Result<(Self, Self), TableError> {
        let rows = self.len();
        let n = (share * rows as f64).round();
        if !(n >= 1.0 && n < rows as f64) {
            return Err(TableError::Share { rows, share });
        }
        let mut order = shuffled(rows, seed, SPLIT_STREAM);
        let (second, first) = order.split_at_mut(n as usize);
        first.sort_unstable();
        second.sort_unstable();
        Ok((self.rows(first), self.rows(second)))
    }

    /// All numbers, `[rows, columns]`, in the float type of the device. float32 keeps seven digits:
    /// subtract an origin from large numbers that differ little, such as times in seconds.
    ///
    /// # Errors
    /// [`TableError::Text`] for a column of text.
    pub fn points(&self, device: &Device) -> Result<Tensor<2>, TableError> {
        self.check_numbers()?;
        Ok(self.batch(&(0..self.len()).collect::<Vec<_>>(), device))
    }

    /// The numbers of some rows, `[rows.len(), columns]`.
    ///
    /// # Panics
    /// If there is no such row, and for a column of text.
    pub fn batch(&self, rows: &[usize], device: &Device) -> Tensor<2> {
        let columns: Result<Vec<&[f64]>, TableError> = self.columns.iter().map(numbers).collect();
        let columns = columns.unwrap_or_else(|error| panic!("Table::batch: {error}"));
        let values: Vec<f64> =
            rows.iter().flat_map(|&row| columns.iter().map(move |column| column[row])).collect();
        Tensor::from_data(TensorData::new(values, [rows.len(), self.columns.len()]), device)
    }

    /// Checks that each column holds numbers.
    ///
    /// # Errors
    /// [`TableError::Text`].
    pub fn check_numbers(&self) -> Result<(), TableError> {
        self.columns.iter().try_for_each(|column| numbers(column).map(|_| ()))
    }

    /// Checks that a density can describe the columns of numbers: none is constant, and no two are
    /// the same. A column that follows from others in another way, such as a total, is not found.
    ///
    /// # Errors
    /// [`TableError::Constant`], [`TableError::SameColumns`].
    pub fn check_varied(&self) -> Result<(), TableError> {
        let columns: Vec<(&String, &[f64])> = self
            .columns
            .iter()
            .filter_map(|column| Some((&column.name, numbers(column).ok()?)))
            .collect();
        for (place, (name, values)) in columns.iter().enumerate() {
            if let Some(&value) = values.first()
                && values.iter().all(|other| *other == value)
            {
                return Err(TableError::Constant { column: (*name).clone(), value });
            }
            if let Some((first, _)) = columns[..place].iter().find(|(_, other)| other == values) {
                let (first, second) = ((*first).clone(), (*name).clone());
                return Err(TableError::SameColumns { first, second });
            }
        }
        Ok(())
    }
}

/// The numbers of a column.
fn numbers(column: &Column) -> Result<&[f64], TableError> {
    match &column.values {
        Values::Numbers(numbers) => Ok(numbers),
        Values::Texts { names, .. } => Err(TableError::Text {
            column: column.name.clone(),
            found: names.first().cloned().unwrap_or_default(),
        }),
    }
}
