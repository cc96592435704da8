//! Reads a table from a CSV file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::path::Path;

use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord, Trim};
use serde::{Deserialize, Serialize};

use super::lines::{Counted, Lines};
use super::{Column, MixedCells, Table, TableError, Values};
use crate::data::gzip::{MAGIC, Members};
use crate::whole_file;

/// What is done with a row that has a cell without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// [`TableError::Missing`].
    Refuse,
    /// The row is left out; [`Table::dropped`] counts such rows.
    DropRows,
}

config! {
    /// How a CSV file is read.
    ///
    /// The first line names the columns. A column is one of numbers if its first value is a number,
    /// otherwise one of text; a column with both is an error. A cell is without a value if it is
    /// empty or one of `NA`, `N/A`, `NaN`, `null`, `None`, `?`, in upper or lower case. Spaces
    /// around a cell and empty lines do not count. A cell in quotes may have delimiters and ends of
    /// lines, and two quotes for one; a quote that nothing closes is an error. A gzip file is
    /// unpacked.
    ///
    /// ```
    /// use flowkit::data::table::{CsvConfig, Missing, Values};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("rows.csv");
    /// # std::fs::write(&path, "x,kind\n1.5,a\nNA,b\n2.5,a\n")?;
    /// let table = CsvConfig::new().with_missing(Missing::DropRows).read(&path)?;
    /// assert_eq!((table.len(), table.dropped()), (2, 1));
    /// assert_eq!(table.column("x")?.values, Values::Numbers(vec![1.5, 2.5]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Debug)]
    pub struct CsvConfig {
        /// The columns to read, in this order; all of them if there are none. Other columns may
        /// hold anything.
        pub columns: Vec<String> = Vec::new(),
        /// Columns of text, whatever their values look like: zip codes, classes with numbers.
        pub text: Vec<String> = Vec::new(),
        /// What is done with a row that has a cell without a value.
        pub missing: Missing = Missing::Refuse,
        /// The character between two cells, one of ASCII.
        pub delimiter: char = ',',
    }
}

/// Cells without a value, besides empty ones.
const MISSING: [&str; 6] = ["NA", "N/A", "NaN", "null", "None", "?"];

/// What is read after the end of a file: a line with one quote in its cell. A quote that is still
/// open there takes it in, and stays open.
const END: &[u8] = b"\n\"\"\"\"\n";

/// Whether a record is the line that follows a file.
fn is_end(record: &StringRecord) -> bool {
    record.len() == 1 && &record[0] == "\""
}

fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// The records of a file, and their lines.
struct Records<'a> {
    path: &'a Path,
    reader: Reader<Counted<Box<dyn Read>>>,
    lines: Lines,
}

impl<'a> Records<'a> {
    fn open(path: &'a Path, delimiter: u8) -> Result<Self, TableError> {
        let file: Box<dyn Read> = Box::new(unpacked(path).map_err(in_file(path))?.chain(END));
        let (counted, lines) = Counted::new(file);
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(counted);
        Ok(Self { path, reader, lines })
    }

    /// Reads the next record and returns its line, if there is one.
    fn read(&mut self, record: &mut StringRecord) -> Result<Option<u64>, TableError> {
        let path = self.path.to_path_buf();
        match self.reader.read_record(record).map_err(csv::Error::into_kind) {
            Ok(true) => Ok(Some(self.line(record.position()))),
            Ok(false) => Ok(None),
            Err(ErrorKind::Io(source)) => Err(TableError::Io { path, source }),
            Err(ErrorKind::Utf8 { pos, err }) => {
                let (line, column) = (self.line(pos.as_ref()), err.field() + 1);
                Err(TableError::Utf8 { path, line, column })
            }
            // Lines of other lengths are read (`flexible`), nothing is deserialised and nothing
            // sought.
            Err(kind) => {
                let source = io::Error::other(format!("{kind:?}"));
                Err(TableError::Io { path, source })
            }
        }
    }

    /// The line of the last record.
    fn line(&self, position: Option<&Position>) -> u64 {
        self.lines.at_byte(position.map_or(0, Position::byte))
    }
}

/// A cell, and the line of it.
#[derive(Clone)]
struct Found {
    text: String,
    line: u64,
}

/// A column that is being read.
struct Reading {
    name: String,
    /// Its place in the file.
    place: usize,
    numbers: Vec<f64>,
    codes: Vec<u32>,
    names: HashMap<String, u32>,
    is_text: bool,
    /// The first value.
    first: Option<Found>,
}

impl Reading {
    fn add(
        &mut self,
        cell: &str,
        (path, row, line): (&Path, usize, u64),
    ) -> Result<(), TableError> {
        let number = if self.is_text { None } else { cell.parse::<f64>().ok() };
        let seen_numbers = !self.numbers.is_empty();
        if let Some(first) = &self.first
            && !self.is_text
            && seen_numbers != number.is_some()
        {
            let here = Found { text: cell.to_owned(), line };
            let (number, text) =
                if seen_numbers { (first.clone(), here) } else { (here, first.clone()) };
            return Err(TableError::Mixed {
                path: path.into(),
                column: self.name.clone(),
                cells: Box::new(MixedCells {
                    number: number.text,
                    number_line: number.line,
                    text: text.text,
                    text_line: text.line,
                }),
            });
        }
        if self.first.is_none() {
            self.first = Some(Found { text: cell.to_owned(), line });
        }
        match number {
            Some(number) if number.is_finite() => self.numbers.push(number),
            Some(_) => {
                return Err(TableError::NotFinite {
                    path: path.into(),
                    line,
                    row,
                    column: self.name.clone(),
                    found: cell.to_owned(),
                });
            }
            None => {
                let next = self.names.len() as u32;
                let code = match self.names.get(cell) {
                    Some(&code) => code,
                    None => *self.names.entry(cell.to_owned()).or_insert(next),
                };
                self.codes.push(code);
            }
        }
        Ok(())
    }

    fn finish(self) -> Column {
        if self.names.is_empty() {
            return Column::numbers(self.name, self.numbers);
        }
        // From the order of their first rows to that of their characters.
        let mut found: Vec<(String, u32)> = self.names.into_iter().collect();
        found.sort_unstable();
        let mut place = vec![0; found.len()];
        for (new, (_, old)) in found.iter().enumerate() {
            place[*old as usize] = new as u32;
        }
        let codes = self.codes.into_iter().map(|code| place[code as usize]).collect();
        let names = found.into_iter().map(|(name, _)| name).collect();
        Column { name: self.name, values: Values::Texts { names, codes } }
    }
}

impl CsvConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`TableError::Delimiter`], and [`TableError::Repeated`] for a column that is listed twice.
    pub fn validate(&self) -> Result<(), TableError> {
        let found = self.delimiter;
        if !found.is_ascii() || "\"\r\n".contains(found) {
            return Err(TableError::Delimiter { found });
        }
        for (place, name) in self.columns.iter().enumerate() {
            if self.columns[..place].contains(name) {
                return Err(TableError::Repeated { found: name.clone() });
            }
        }
        Ok(())
    }

    /// Reads a table. Memory: 8 bytes for each number, 4 for each text and once the texts that
    /// differ; the file itself is not held.
    ///
    /// # Errors
    /// A rule that the file breaks, with its line; a column that it lacks.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table, TableError> {
        let path = path.as_ref();
        self.validate()?;
        let mut records = Records::open(path, self.delimiter as u8)?;
        let mut header = StringRecord::new();
        let header_line = records.read(&mut header)?.unwrap_or(1);
        if is_end(&header) {
            return Err(TableError::NoHeader { path: path.into() });
        }
        let (mut record, mut row, mut dropped) = (StringRecord::new(), 0, 0);
        let mut next = StringRecord::new();
        // The last record is the line that follows the file, unless a quote has taken it in.
        let Some(mut next_line) = records.read(&mut next)? else {
            return Err(TableError::OpenQuote { path: path.into(), line: header_line });
        };
        let mut columns = self.columns(path, &header)?;
        loop {
            mem::swap(&mut record, &mut next);
            let line = next_line;
            match records.read(&mut next)? {
                Some(line) => next_line = line,
                None if is_end(&record) => break,
                None => return Err(TableError::OpenQuote { path: path.into(), line }),
            }
            row += 1;
            if record.len() != header.len() {
                let (expected, found) = (header.len(), record.len());
                return Err(TableError::Ragged { path: path.into(), line, expected, found });
            }
            if let Some(column) = columns.iter().find(|column| is_missing(&record[column.place])) {
                if self.missing == Missing::DropRows {
                    dropped += 1;
                    continue;
                }
                return Err(TableError::Missing {
                    path: path.into(),
                    line,
                    row,
                    column: column.name.clone(),
                    found: record[column.place].to_owned(),
                });
            }
            for column in &mut columns {
                column.add(&record[column.place], (path, row, line))?;
            }
        }
        if row == dropped {
            return Err(TableError::NoRows { path: path.into(), dropped });
        }
        Ok(Table {
            columns: columns.into_iter().map(Reading::finish).collect(),
            dropped,
            weights: None,
        })
    }

    /// The columns to read, without a row yet.
    fn columns(&self, path: &Path, header: &StringRecord) -> Result<Vec<Reading>, TableError> {
        if header.len() == 1 && header[0].is_empty() {
            return Err(TableError::NoHeader { path: path.into() });
        }
        let mut places = HashMap::new();
        for (place, name) in header.iter().enumerate() {
            let (path, column) = (path.to_path_buf(), place + 1);
            if name.is_empty() {
                return Err(TableError::NoName { path, column });
            }
            if let Some(first) = places.insert(name, place) {
                let (name, first) = (name.to_owned(), first + 1);
                return Err(TableError::SameName { path, name, first, second: column });
            }
        }
        if header.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err(TableError::OnlyNumbers { path: path.into() });
        }
        let unknown = |found: &str| TableError::UnknownColumn {
            expected: header.iter().map(str::to_owned).collect(),
            found: found.to_owned(),
        };
        if let Some(found) = self.text.iter().find(|name| !places.contains_key(name.as_str())) {
            return Err(unknown(found));
        }
        let names: Vec<&str> = match self.columns.as_slice() {
            [] => header.iter().collect(),
            columns => columns.iter().map(String::as_str).collect(),
        };
        let mut columns: Vec<Reading> = Vec::with_capacity(names.len());
        for name in names {
            let &place = places.get(name).ok_or_else(|| unknown(name))?;
            columns.push(Reading {
                name: name.to_owned(),
                place,
                numbers: Vec::new(),
                codes: Vec::new(),
                names: HashMap::new(),
                is_text: self.text.iter().any(|text| text == name),
                first: None,
            });
        }
        Ok(columns)
    }
}

impl Table {
    /// Reads a CSV file with a header, all its columns, and no missing values. [`CsvConfig`] reads
    /// others.
    ///
    /// # Errors
    /// Those of [`CsvConfig::read`].
    pub fn read_csv(path: impl AsRef<Path>) -> Result<Self, TableError> {
        CsvConfig::new().read(path)
    }
}

/// The bytes of a file, unpacked if it is one of gzip, and without a mark of their order.
fn unpacked(path: &Path) -> io::Result<Box<dyn Read>> {
    let (file, _) = whole_file::open(path)?;
    let mut file: BufReader<File> = BufReader::new(file);
    if file.fill_buf()?.starts_with(&MAGIC) {
        return Ok(Box::new(Members::new(file)));
    }
    Ok(Box::new(file))
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> TableError {
    let path = path.to_path_buf();
    |source| TableError::Io { path, source }
}
