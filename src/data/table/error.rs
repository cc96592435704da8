//! Errors of tables.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::counted::counted;

/// A table that cannot be read, or that a function cannot use. Rows and columns are counted from 1,
/// rows without the header; lines are those of the file, from 1, and include the header.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// The operating system refused, or a packed file is damaged.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        r#source: io::Error,
    },
    /// A cell that is not text in UTF-8.
    #[error(
        "{}, line {line}: expected text in UTF-8, found other bytes in column {column}",
        path.display()
    )]
    Utf8 {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The number of the column, from 1.
        column: usize,
    },
    /// A delimiter that a CSV file cannot have.
    #[error("expected a delimiter of ASCII that is no quote and ends no line, found {found:?}")]
    Delimiter {
        /// The character.
        found: char,
    },
    /// A file without a header.
    #[error(
        "{}: expected a line with the names of the columns, found an empty file",
        path.display()
    )]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// A column without a name.
    #[error(
        "{}: expected a name for each column, found none for column {column}",
        path.display()
    )]
    NoName {
        /// The file.
        path: PathBuf,
        /// The number of the column, from 1.
        column: usize,
    },
    /// Two columns of the same name.
    #[error(
        "{}: expected a name of its own for each column, found {name:?} for columns {first} and \
         {second}",
        path.display()
    )]
    SameName {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// The number of the first column of this name, from 1.
        first: usize,
        /// The number of the second.
        second: usize,
    },
    /// A header that looks like data.
    #[error(
        "{}: expected the names of the columns in the first line, found only numbers; add a header",
        path.display()
    )]
    OnlyNumbers {
        /// The file.
        path: PathBuf,
    },
    /// A quote that is open at the end of the file: what follows it is no row.
    #[error(
        "{}: expected a quote that ends the cell in quotes of the row in line {line}, found the \
         end of the file",
        path.display()
    )]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// The line at which the row begins.
        line: u64,
    },
    /// A line with fewer or more cells than the header.
    #[error(
        "{}, line {line}: expected {} as in the header, found {found}",
        path.display(),
        counted(*expected, "cell")
    )]
    Ragged {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// Number of names in the header.
        expected: usize,
        /// Number of cells of the line.
        found: usize,
    },
    /// A cell without a value, where [`Missing::Refuse`](super::Missing) applies.
    #[error(
        "{}, line {line}: expected a value in column {column:?} of row {row}, found {found:?}; \
         `Missing::DropRows` leaves such rows out",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The row.
        row: usize,
        /// The name of the column.
        column: String,
        /// The text of the cell.
        found: String,
    },
    /// Numbers and text in one column.
    #[error(
        "{}: expected numbers or text in column {column:?}, found the number {:?} in line {} and \
         the text {:?} in line {}; if its numbers are names, list the column in `text`",
        path.display(),
        cells.number,
        cells.number_line,
        cells.text,
        cells.text_line
    )]
    Mixed {
        /// The file.
        path: PathBuf,
        /// The name of the column.
        column: String,
        /// The first number and the first text.
        cells: Box<MixedCells>,
    },
    /// A number that is infinite, or larger than a float64 can be.
    #[error(
        "{}, line {line}: expected a finite number in column {column:?} of row {row}, found \
         {found:?}",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The row.
        row: usize,
        /// The name of the column.
        column: String,
        /// The text of the cell.
        found: String,
    },
    /// A header without a row, or no row without a missing value.
    #[error(
        "{}: expected at least one row, found none ({} left out for missing values)",
        path.display(),
        counted(*dropped, "row")
    )]
    NoRows {
        /// The file.
        path: PathBuf,
        /// Number of rows that were left out.
        dropped: usize,
    },
    /// A name that no column has.
    #[error("expected one of the columns {}, found {found:?}", expected.join(", "))]
    UnknownColumn {
        /// The names of the columns.
        expected: Vec<String>,
        /// The name that was asked for.
        found: String,
    },
    /// A column that was asked for twice.
    #[error("expected each column once, found {found:?} twice")]
    Repeated {
        /// The name of the column.
        found: String,
    },
    /// No columns.
    #[error("expected at least one column, found none")]
    NoColumns,
    /// Columns of different lengths.
    #[error(
        "expected {} in column {column:?}, as in the first column, found {found}",
        counted(*expected, "row")
    )]
    Lengths {
        /// The name of the column.
        column: String,
        /// Number of rows of the first column.
        expected: usize,
        /// Number of rows of this one.
        found: usize,
    },
    /// Text where numbers are needed.
    #[error(
        "expected numbers in column {column:?}, found text such as {found:?}; leave the column \
         out, or use it as a condition"
    )]
    Text {
        /// The name of the column.
        column: String,
        /// One of its values.
        found: String,
    },
    /// A column of numbers with NaN or an infinity.
    #[error("row {row}: expected a finite number in column {column:?}, found {found}")]
    NoNumber {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// The value.
        found: f64,
    },
    /// Names of a column of texts that are not in order, or equal.
    #[error(
        "column {column:?}: expected names in the order of their characters, each once, found \
         {second:?} after {first:?}"
    )]
    Names {
        /// The name of the column.
        column: String,
        /// A name.
        first: String,
        /// The next one.
        second: String,
    },
    /// A code of a text without a name.
    #[error(
        "row {row}: expected the code of one of {expected} names in column {column:?}, found \
         {found}"
    )]
    Code {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// Number of names.
        expected: usize,
        /// The code.
        found: u32,
    },
    /// A weight that is negative.
    #[error("row {row}: expected a weight in [0, ∞) in column {column:?}, found {found}")]
    Weight {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// The weight.
        found: f64,
    },
    /// Another number of maps than of columns.
    #[error("expected a map for each of {}, found {found}", counted(*expected, "column"))]
    MapCount {
        /// Number of columns.
        expected: usize,
        /// Number of maps.
        found: usize,
    },
    /// A share that leaves one of two parts without a row.
    #[error(
        "expected a share of {} that leaves a row in both parts, found {share}",
        counted(*rows, "row")
    )]
    Share {
        /// Number of rows.
        rows: usize,
        /// The share.
        share: f64,
    },
    /// A number that the map of its column does not accept.
    #[error(
        "row {row}: expected a number between {lower} and {upper}, without these, in column \
         {column:?}, found {found}"
    )]
    Outside {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// The number.
        found: f64,
        /// The lower end of the interval.
        lower: f64,
        /// The upper end.
        upper: f64,
    },
    /// An integer whose cell, from it to the next integer, leaves the bounds of its map.
    #[error(
        "row {row}: expected an integer from {least} to {most} in column {column:?}, found {found}"
    )]
    OutsideInteger {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// The number.
        found: f64,
        /// The least integer whose cell is between the bounds.
        least: f64,
        /// The largest one.
        most: f64,
    },
    /// A number whose column is too narrow for float32 at its size.
    #[error(
        "row {row}: expected a number whose neighbours in float32 are within 1/1024 of the \
         column's scale of {scale} in column {column:?}, found {found}, whose neighbours are \
         {spacing} apart; subtract a constant from the column"
    )]
    Coarse {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// The number.
        found: f64,
        /// The distance of float32 numbers at it.
        spacing: f64,
        /// The scale of the column's map: its deviation, or the circumference of its circle.
        scale: f64,
    },
    /// A number with a fraction in a column of integers.
    #[error("row {row}: expected an integer in column {column:?}, found {found}")]
    NotInteger {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// The number.
        found: f64,
    },
    /// A text that did not occur in the table that a condition was made of.
    #[error(
        "row {row}: expected one of {} in column {column:?}, found {found:?}",
        shortened(expected)
    )]
    UnknownText {
        /// The name of the column.
        column: String,
        /// The row.
        row: usize,
        /// The texts of the column.
        expected: Vec<String>,
        /// The text.
        found: String,
    },
    /// A column of text with too many texts for a condition.
    #[error(
        "expected at most {most} different texts in column {column:?}, each of which is an element \
         of the condition, found {found}; leave it out, or group its texts"
    )]
    TooManyTexts {
        /// The name of the column.
        column: String,
        /// The largest number.
        most: usize,
        /// Number of texts that differ.
        found: usize,
    },
    /// Columns with other names, or in another order, than those of a model.
    #[error("expected the columns {}, found {}", expected.join(", "), found.join(", "))]
    OtherColumns {
        /// The names of the columns of the model.
        expected: Vec<String>,
        /// Those of the table.
        found: Vec<String>,
    },
    /// A column with a single value: no density describes it.
    #[error(
        "expected at least two values in column {column:?}, found {value} in each row; leave it out"
    )]
    Constant {
        /// The name of the column.
        column: String,
        /// The value.
        value: f64,
    },
    /// Two columns with the same values: no density describes both.
    #[error(
        "expected columns that differ, found the same values in {first:?} and {second:?}; leave \
         one out"
    )]
    SameColumns {
        /// The name of the first column.
        first: String,
        /// The name of the second.
        second: String,
    },
}

/// The first texts of a list, and how many more there are.
fn shortened(texts: &[String]) -> String {
    const MOST: usize = 8;
    let shown = texts.iter().take(MOST).map(|text| format!("{text:?}"));
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    if texts.len() > MOST {
        shown += &format!(" and {}", counted(texts.len() - MOST, "other"));
    }
    shown
}

/// A number and a text in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MixedCells {
    /// The first number.
    pub number: String,
    /// The line of the first number.
    pub number_line: u64,
    /// The first text.
    pub text: String,
    /// The line of the first text.
    pub text_line: u64,
}
