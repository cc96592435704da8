//! Chooses a map for each column of a table.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Table, TableError};
use crate::counted::counted;
use crate::elementwise::{ColumnMap, ColumnsConfig};
use crate::quantize::IntegerColumnsConfig;

/// Integers of this magnitude are treated as real numbers: float32 has no room for their noise.
const MOST_INTEGER: f64 = 65536.0;

/// The largest range of integers that is bounded on both sides.
const MOST_CELLS: f64 = 64.0;

/// Least number of float32 numbers in the scale of a column that no logarithm is taken of.
const PER_SCALE: f64 = 1024.0;

/// How much less skewed the logarithms of a column must be.
const LESS_SKEWED: f64 = 0.5;

/// Skewness of a column that is left as it is.
const SKEWED: f64 = 1.0;

/// A value is named if it is that of a larger share of the rows, and of as many rows.
const OFTEN: (f64, usize) = (0.05, 10);

/// Why a column has its map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Reason {
    /// No other reason applies: its numbers are standardised.
    Plain {
        /// Skewness of the numbers.
        skewness: f64,
    },
    /// Its numbers are above 0 and skewed, and their logarithms are less so.
    Skewed {
        /// Skewness of the numbers.
        skewness: f64,
        /// Skewness of their logarithms.
        of_logarithms: f64,
    },
    /// Its numbers fill the interval between 0 and 1.
    Share,
    /// Its integers have so few values that both ends are bounds.
    FewIntegers {
        /// The least integer.
        least: f64,
        /// The largest integer.
        most: f64,
    },
    /// It was set, not inferred.
    Set,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { skewness } => write!(f, "skewness {skewness:.2}"),
            Self::Skewed { skewness, of_logarithms } => {
                write!(f, "above 0; skewness {skewness:.2}, of the logarithms {of_logarithms:.2}")
            }
            Self::Share => f.write_str("from near 0 to near 1"),
            Self::FewIntegers { least, most } => write!(f, "integers from {least} to {most}"),
            Self::Set => f.write_str("as given"),
        }
    }
}

/// A value that many rows have. Among real numbers, a density may grow there without limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatedValue {
    /// The value.
    pub value: f64,
    /// Number of rows that have it.
    pub rows: usize,
}

/// The map of a column, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnChoice {
    /// The name of the column.
    pub name: String,
    /// Its map.
    pub map: ColumnMap,
    /// Whether it holds integers that are dequantized.
    pub integer: bool,
    /// Number of different values.
    pub distinct: usize,
    /// The most frequent value, if it is that of ten rows and of more than a twentieth of all.
    pub repeated: Option<RepeatedValue>,
    /// Why it has this map.
    pub reason: Reason,
}

impl ColumnChoice {
    /// The value at which the density of this column may grow without limit.
    fn spike(&self) -> Option<RepeatedValue> {
        let real = !self.integer && !matches!(self.map, ColumnMap::Class { .. });
        self.repeated.filter(|_| real)
    }
}

/// The maps of all columns of a table. Its display is a report of what was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMaps {
    /// The columns, in their order.
    pub columns: Vec<ColumnChoice>,
    /// Number of rows that the maps were chosen from.
    pub rows: usize,
}

impl ColumnMaps {
    /// The configuration of the layer, the first of a flow.
    pub fn layer(&self) -> ColumnsConfig {
        ColumnsConfig::new(self.columns.iter().map(|column| column.map).collect())
    }

    /// The configuration of the dequantization, if a column holds integers.
    pub fn integers(&self) -> Option<IntegerColumnsConfig> {
        let columns: Vec<usize> =
            (0..self.columns.len()).filter(|&place| self.columns[place].integer).collect();
        (!columns.is_empty()).then(|| IntegerColumnsConfig::new(columns))
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }
}

impl fmt::Display for ColumnMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.names().map(|name| name.chars().count()).max().unwrap_or(0);
        for (place, column) in self.columns.iter().enumerate() {
            let map = match column.map {
                ColumnMap::Real { .. } => "standardised".to_owned(),
                ColumnMap::Positive { lower, .. } => format!("logarithm above {lower}"),
                ColumnMap::Bounded { lower, upper, .. } => format!("logit in ({lower}, {upper})"),
                ColumnMap::Circular { lower, upper } => format!("circle [{lower}, {upper})"),
                ColumnMap::Class { n } => format!("{n} classes"),
            };
            let noise = if column.integer { ", to be dequantized" } else { "" };
            let ColumnChoice { name, distinct, reason, .. } = column;
            write!(
                f,
                "{name:<width$}  {map}{noise} ({reason}; {} in {})",
                counted(*distinct, "value"),
                counted(self.rows, "row"),
            )?;
            if let Some(RepeatedValue { value, rows }) = column.spike() {
                let rows = counted(rows, "row");
                write!(f, "; {rows} with {value}, where a density may grow without limit")?;
            }
            f.write_str(if place + 1 < self.columns.len() { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// The third standardised moment.
fn skewness(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let moment = |power| values.clone().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    moment(3) / moment(2).powf(1.5)
}

/// The map of a column that is not constant, and whether it is one of integers.
fn chosen(values: &[f64]) -> (ColumnMap, bool, Reason) {
    let (least, most) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), &x| (least.min(x), most.max(x)));
    let integer = least > -MOST_INTEGER
        && most < MOST_INTEGER
        && values.iter().all(|value| value.fract() == 0.0);
    // An integer stands for the cell above it; its middle stands for it here.
    let middle = if integer { 0.5 } else { 0.0 };
    let suits = |map: ColumnMap| map.accepts(least + middle) && map.accepts(most + middle);
    let (share, positive) = (ColumnMap::bounded(0.0, 1.0), ColumnMap::positive(0.0));
    let numbers = values.iter().map(move |value| value + middle);
    let (map, reason) = if integer && most - least < MOST_CELLS {
        (ColumnMap::bounded(least, most + 1.0), Reason::FewIntegers { least, most })
    } else if !integer && least < 0.05 && most > 0.95 && suits(share) {
        (share, Reason::Share)
    } else {
        let skew = skewness(numbers.clone());
        let above = (integer || least > 0.0) && suits(positive);
        let of_logarithms = if above { skewness(numbers.clone().map(f64::ln)) } else { skew };
        if skew > SKEWED && of_logarithms.abs() < LESS_SKEWED * skew {
            (positive, Reason::Skewed { skewness: skew, of_logarithms })
        } else {
            (ColumnMap::real(), Reason::Plain { skewness: skew })
        }
    };
    (map.standardised(&numbers.collect::<Vec<_>>()), integer, reason)
}

impl Table {
    /// Chooses a map for each column, from its values:
    ///
    /// | values | map |
    /// |---|---|
    /// | integers within ±65535, over a range below 64 | dequantized; logit between the ends |
    /// | other integers within ±65535 | dequantized; one of the maps below |
    /// | in (0, 1), from below 0.05 to above 0.95 | logit |
    /// | above 0, integers from 0; skewness above 1, that of the logarithms below half of it in size | logarithm |
    /// | others | standardised |
    ///
    /// Logit and logarithm are chosen only if float32 rounds no value to a bound. Each map is
    /// standardised. The result is a suggestion: print it, and change what you know better, by
    /// [`Table::set_map`]. No rule finds a column that is circular, or one whose bounds are not 0
    /// and 1. A real column of which many rows have one value, such as rain that is mostly 0, is
    /// named: its density may grow without limit there, and the likelihood with it. Fit the other
    /// rows alone. All rows count alike, whatever their weights.
    ///
    /// ```
    /// use flowkit::data::table::{Column, Table};
    ///
    /// let price = Column::numbers("price", vec![0.5, 5.0, 50.0, 500.0]);
    /// let rooms = Column::numbers("rooms", vec![1.0, 2.0, 2.0, 4.0]);
    /// let maps = Table::new(vec![price, rooms])?.column_maps()?;
    /// let report = maps.to_string();
    /// assert!(report.starts_with("price  logarithm above 0 (above 0; skewness 1.13"));
    /// let rooms = "rooms  logit in (1, 5), to be dequantized (integers from 1 to 4; 3 values in ";
    /// assert!(report.lines().nth(1).is_some_and(|line| line.starts_with(rooms)));
    /// # Ok::<(), flowkit::data::table::TableError>(())
    /// ```
    ///
    /// # Errors
    /// [`TableError::Text`], [`TableError::Coarse`], and those of [`Table::check_varied`].
    pub fn column_maps(&self) -> Result<ColumnMaps, TableError> {
        self.check_numbers()?;
        self.check_varied()?;
        let mut columns = Vec::with_capacity(self.columns().len());
        for name in self.names() {
            let values = self.numbers(name)?;
            let (map, integer, reason) = chosen(values);
            check_spacing(name, values, &map)?;
            let (distinct, repeated) = repetitions(values);
            let name = name.to_owned();
            columns.push(ColumnChoice { name, map, integer, distinct, repeated, reason });
        }
        Ok(ColumnMaps { columns, rows: self.len() })
    }

    /// Gives a column another map, standardised by the values of this table. Its numbers are
    /// treated as real ones, without noise, whatever they look like.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`], [`TableError::Text`], [`TableError::Outside`] for a value
    /// that the map does not accept, and [`TableError::Coarse`] for a column that float32 would
    /// round to few values, such as seconds since 1970 within one day.
    pub fn set_map(
        &self,
        maps: &mut ColumnMaps,
        name: &str,
        map: ColumnMap,
    ) -> Result<(), TableError> {
        self.choose(maps, name, map, false)
    }

    /// Gives a column of integers another map, standardised by the values of this table. The map is
    /// that of the dequantized numbers: an integer stands for the cell from it to the next.
    ///
    /// # Errors
    /// [`TableError::UnknownColumn`], [`TableError::Text`], [`TableError::NotInteger`], and
    /// [`TableError::OutsideInteger`] for an integer whose cell leaves the bounds of the map.
    pub fn set_integer_map(
        &self,
        maps: &mut ColumnMaps,
        name: &str,
        map: ColumnMap,
    ) -> Result<(), TableError> {
        self.choose(maps, name, map, true)
    }

    fn choose(
        &self,
        maps: &mut ColumnMaps,
        name: &str,
        map: ColumnMap,
        integer: bool,
    ) -> Result<(), TableError> {
        let values = self.numbers(name)?;
        let unknown = || TableError::UnknownColumn {
            expected: maps.names().map(str::to_owned).collect(),
            found: name.to_owned(),
        };
        let Some(place) = maps.names().position(|found| found == name) else {
            return Err(unknown());
        };
        check(name, values, &map, integer)?;
        let middle = if integer { 0.5 } else { 0.0 };
        let middles: Vec<f64> = values.iter().map(|value| value + middle).collect();
        let map = map.standardised(&middles);
        check_spacing(name, values, &map)?;
        let column = &mut maps.columns[place];
        (column.map, column.integer) = (map, integer);
        column.reason = Reason::Set;
        Ok(())
    }

    /// Checks that every number is one that the map of its column in `layer` accepts.
    ///
    /// # Errors
    /// [`TableError::Outside`] names row and column; [`TableError::Text`];
    /// [`TableError::MapCount`] unless there is one map for each column.
    pub fn check_columns(&self, layer: &ColumnsConfig) -> Result<(), TableError> {
        let (expected, found) = (self.columns().len(), layer.maps.len());
        if found != expected {
            return Err(TableError::MapCount { expected, found });
        }
        let mut columns = self.names().zip(&layer.maps);
        columns.try_for_each(|(name, map)| check(name, self.numbers(name)?, map, false))
    }

    /// Checks that the columns are those of `maps`, in their order, and that each value is one that
    /// its map accepts.
    ///
    /// # Errors
    /// [`TableError::OtherColumns`], [`TableError::Text`], [`TableError::Outside`],
    /// [`TableError::Coarse`], [`TableError::NotInteger`], [`TableError::OutsideInteger`].
    pub fn check_maps(&self, maps: &ColumnMaps) -> Result<(), TableError> {
        if !self.names().eq(maps.names()) {
            let names = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect();
            let (expected, found) = (names(&mut maps.names()), names(&mut self.names()));
            return Err(TableError::OtherColumns { expected, found });
        }
        maps.columns.iter().try_for_each(|column| {
            let values = self.numbers(&column.name)?;
            check(&column.name, values, &column.map, column.integer)?;
            check_spacing(&column.name, values, &column.map)
        })
    }
}

/// Number of different values, and the most frequent one if many have it.
fn repetitions(values: &[f64]) -> (usize, Option<RepeatedValue>) {
    let mut rows: HashMap<u64, usize> = HashMap::new();
    for value in values {
        // 0 and −0 are one number.
        *rows.entry((value + 0.0).to_bits()).or_default() += 1;
    }
    let (share, least) = OFTEN;
    let most = rows.iter().max_by_key(|&(&bits, &rows)| (rows, bits));
    let often = most.filter(|&(_, &n)| n >= least && n as f64 > share * values.len() as f64);
    let repeated = often.map(|(&bits, &rows)| RepeatedValue { value: f64::from_bits(bits), rows });
    (rows.len(), repeated)
}

/// Checks that a map accepts all values of a column.
fn check(name: &str, values: &[f64], map: &ColumnMap, integer: bool) -> Result<(), TableError> {
    let (lower, upper) = map.interval();
    for (row, &found) in values.iter().enumerate() {
        let (column, row) = (name.to_owned(), row + 1);
        if integer {
            if found.fract() != 0.0 {
                return Err(TableError::NotInteger { column, row, found });
            }
            let least = lower.ceil().max(1.0 - MOST_INTEGER);
            let most = upper.floor().min(MOST_INTEGER) - 1.0;
            // The noise is neither 0 nor 1, so the ends of the cell may be the bounds.
            if !(least..=most).contains(&found) {
                return Err(TableError::OutsideInteger { column, row, found, least, most });
            }
            continue;
        }
        if !map.accepts(found) {
            // A number that float32 does not have is beyond its largest, not beyond ∞.
            let most = f64::from(f32::MAX);
            let lower = if found < -most { lower.max(-most) } else { lower };
            let upper = if found > most { upper.min(most) } else { upper };
            return Err(TableError::Outside { column, row, found, lower, upper });
        }
    }
    Ok(())
}

/// Checks that float32 has enough numbers to tell the values of a column apart, on the scale of its
/// map, or of the distance of a value that is far out. Near a bound, where a logarithm or a logit
/// has no scale, there are enough; classes are small integers.
fn check_spacing(name: &str, values: &[f64], map: &ColumnMap) -> Result<(), TableError> {
    for (row, &found) in values.iter().enumerate() {
        let scale = match *map {
            ColumnMap::Real { center, scale } => scale.max((found - center).abs()),
            ColumnMap::Circular { lower, upper } => upper - lower,
            _ => return Ok(()),
        };
        // The largest number for one that float32 does not have, which `check` refuses.
        let size = (found as f32).abs().min(f32::MAX);
        let spacing = f64::from(size) - f64::from(size.next_down());
        if spacing * PER_SCALE > scale {
            let (column, row) = (name.to_owned(), row + 1);
            return Err(TableError::Coarse { column, row, found, spacing, scale });
        }
    }
    Ok(())
}
