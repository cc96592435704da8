//! Columns of a table as the condition of a flow.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Column, Table, TableError, Values};
use crate::elementwise::ColumnMap;

/// Most different texts of a column, each of which is an element of every row. A column with more
/// is the name of a row rather than a class.
const MOST_TEXTS: usize = 1000;

/// How a column becomes elements of the condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Feature {
    /// A number, standardised: one element.
    Number {
        /// The name of the column.
        name: String,
        /// Its map.
        map: ColumnMap,
    },
    /// A text, one-hot: one element for each text of the table, in the order of their characters.
    Text {
        /// The name of the column.
        name: String,
        /// The texts.
        texts: Vec<String>,
    },
}

impl Feature {
    /// The name of its column.
    pub fn name(&self) -> &str {
        match self {
            Self::Number { name, .. } | Self::Text { name, .. } => name,
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Number { .. } => 1,
            Self::Text { texts, .. } => texts.len(),
        }
    }
}

/// How columns of a table become the condition of a flow: numbers standardised, texts one-hot.
/// [`Table::conditions`] makes it from one table, for all tables with these columns.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::data::table::{Column, Table};
///
/// let kind = Column::texts("kind", &["a", "b", "a"]);
/// let size = Column::numbers("size", vec![1.0, 2.0, 3.0]);
/// let table = Table::new(vec![kind, size])?;
/// let conditions = table.conditions(&["size", "kind"])?;
/// assert_eq!(conditions.width(), 3);
/// let device = Device::flex();
/// let condition = conditions.tensor(&table, &device)?;
/// let expected = [[-1.5f32.sqrt(), 1.0, 0.0], [0.0, 0.0, 1.0], [1.5f32.sqrt(), 1.0, 0.0]];
/// condition.into_data().assert_approx_eq::<f32>(&expected.into(), Default::default());
/// # Ok::<(), flowkit::data::table::TableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// The columns, in the order of the elements.
    pub features: Vec<Feature>,
}

impl Table {
    /// How these columns become a condition.
    ///
    /// # Errors
    /// [`TableError::NoColumns`], [`TableError::UnknownColumn`], [`TableError::Repeated`], and
    /// [`TableError::TooManyTexts`] for a column with more than 1000 different texts.
    pub fn conditions<T: AsRef<str>>(&self, names: &[T]) -> Result<Conditions, TableError> {
        let selected = self.select(names)?;
        for Column { name, values } in selected.columns() {
            if let Values::Texts { names, .. } = values
                && names.len() > MOST_TEXTS
            {
                let (column, found) = (name.clone(), names.len());
                return Err(TableError::TooManyTexts { column, most: MOST_TEXTS, found });
            }
        }
        let features = selected.columns().iter().map(|column| {
            let name = column.name.clone();
            match &column.values {
                Values::Numbers(values) => {
                    Feature::Number { name, map: ColumnMap::real().standardised(values) }
                }
                Values::Texts { names, .. } => Feature::Text { name, texts: names.clone() },
            }
        });
        Ok(Conditions { features: features.collect() })
    }
}

impl Conditions {
    /// Number of elements of the condition.
    pub fn width(&self) -> usize {
        self.features.iter().map(Feature::width).sum()
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(Feature::name)
    }

    /// The condition of each row of a table, `[rows, width]`.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`]; [`TableError::Text`] for text in a column of numbers;
    /// [`TableError::UnknownText`].
    pub fn tensor(&self, table: &Table, device: &Device) -> Result<Tensor<2>, TableError> {
        let (rows, width) = (table.len(), self.width());
        let mut values = vec![0.0; rows * width];
        let mut start = 0;
        for feature in &self.features {
            match feature {
                Feature::Number { name, map } => {
                    for (row, &value) in table.numbers(name)?.iter().enumerate() {
                        values[row * width + start] = map.apply(value);
                    }
                }
                Feature::Text { name, texts } => {
                    for (row, text) in table.texts(name)?.into_iter().enumerate() {
                        let place = texts.binary_search_by(|found| found.as_str().cmp(&text));
                        let place = place.map_err(|_| TableError::UnknownText {
                            column: name.clone(),
                            row: row + 1,
                            expected: texts.clone(),
                            found: text,
                        })?;
                        values[row * width + start + place] = 1.0;
                    }
                }
            }
            start += feature.width();
        }
        Ok(Tensor::from_data(TensorData::new(values, [rows, width]), device))
    }
}
