//! One array in NumPy's format.
//! ```text
//! magic      "\x93NUMPY", version (1, 0), (2, 0) or (3, 0)
//! length     of the header, u16 or from version 2 on u32, little-endian
//! header     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      a Python literal
//! values     in C or Fortran order
//! ```
//! The header is read by a parser of our own for exactly this literal: those for all of Python's
//! literals are recursive, so that a file of brackets overflows their stack.
//!
//! # Reference
//! NumPy Enhancement Proposal 1 and the documentation of `numpy.lib.format`.

use std::io::{Error as IoError, ErrorKind, Read, Result as IoResult, Write};

use super::archive::Entry;
use super::fault::Fault;
use super::number::{ByteOrder, Number};
use super::{Array, Values, strided};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Most axes of an array: NumPy's own limit.
const MOST_AXES: usize = 64;

/// Longest header: what version 1 allows. Later versions are for structured types.
const LONGEST_HEADER: u32 = u16::MAX as u32;

/// Type and order of the values, and the shape.
struct Header<'a> {
    descr: &'a str,
    is_fortran: bool,
    shape: Vec<usize>,
}

/// The array of an entry. Its values are unpacked only if the header says as many bytes as the
/// archive does.
pub(super) fn read(entry: &Entry<'_>) -> Result<Array, Fault> {
    let mut reader = entry.reader();
    let [magic @ .., major, minor] = bytes::<8>(&mut reader)?;
    if magic != *MAGIC {
        return Err("it does not begin with NumPy's magic string".into());
    }
    let (before, length) = match (major, minor) {
        (1, 0) => (10, u16::from_le_bytes(bytes(&mut reader)?).into()),
        (2 | 3, 0) => (12, u32::from_le_bytes(bytes(&mut reader)?)),
        _ => {
            let text = format!("expected version 1.0, 2.0 or 3.0, found {major}.{minor}");
            return Err(Fault::unsupported(text));
        }
    };
    if length > LONGEST_HEADER {
        let most = LONGEST_HEADER;
        return Err(format!("expected a header of at most {most} bytes, found {length}").into());
    }
    let header = up_to(&mut reader, length.into())?;
    let header = str::from_utf8(&header).map_err(|_| "the header is not UTF-8")?;
    let Header { descr, is_fortran, shape } = parse(header)?;
    let (number, order) = number(descr)?;
    let size = strided::count(&shape)?.checked_mul(number.width());
    let size = size.ok_or_else(|| format!("the size of shape {shape:?} overflows"))? as u64;
    let found = entry.size.saturating_sub(before + u64::from(length));
    if size != found {
        let text = format!("shape {shape:?} of `{descr}` needs {size} bytes, found {found}");
        return Err(text.into());
    }
    let mut values = up_to(&mut reader, size)?;
    reader.end()?;
    if is_fortran && !values.is_empty() {
        let strides = strided::fortran_strides(&shape);
        values = strided::in_c_order(&values, number.width(), 0, &shape, &strides);
    }
    Ok(Array::new(shape, number.values(&values, order)?))
}

/// The next bytes.
fn bytes<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The next bytes, in a vector that grows as they arrive.
fn up_to(reader: &mut impl Read, length: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() as u64 {
        found if found == length => Ok(bytes),
        found => Err(format!("expected {length} more bytes, found {found}").into()),
    }
}

/// The three entries of the header, in any order.
fn parse(header: &str) -> Result<Header<'_>, Fault> {
    let (mut descr, mut is_fortran, mut shape) = (None, None, None);
    let mut text = Text { rest: header };
    text.expect("{")?;
    while !text.accept("}") {
        let key = text.quoted()?;
        text.expect(":")?;
        let is_new = match key {
            "descr" => descr.replace(text.descr()?).is_none(),
            "fortran_order" => is_fortran.replace(text.boolean()?).is_none(),
            "shape" => shape.replace(text.shape()?).is_none(),
            _ => return Err(format!("the header has an unknown entry `{key}`").into()),
        };
        if !is_new {
            return Err(format!("the header has two entries `{key}`").into());
        }
        if !text.accept(",") {
            text.expect("}")?;
            break;
        }
    }
    if !text.rest.trim().is_empty() {
        return Err("something follows the header's literal".into());
    }
    let missing = |key| format!("the header has no entry `{key}`");
    Ok(Header {
        descr: descr.ok_or_else(|| missing("descr"))?,
        is_fortran: is_fortran.ok_or_else(|| missing("fortran_order"))?,
        shape: shape.ok_or_else(|| missing("shape"))?,
    })
}

/// What is left of the header.
struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    fn accept(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(token) else { return false };
        self.rest = rest;
        true
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.accept(token) {
            return Ok(());
        }
        let found: String = self.rest.trim_start().chars().take(20).collect();
        Err(format!("the header: expected `{token}`, found {found:?}"))
    }

    /// A text in quotation marks of either kind. A header has none with escapes.
    fn quoted(&mut self) -> Result<&'a str, String> {
        let mark = if self.accept("\"") { '"' } else { '\'' };
        if mark == '\'' {
            self.expect("'")?;
        }
        let Some((text, rest)) = self.rest.split_once(mark) else {
            return Err("the header ends within a text".to_owned());
        };
        self.rest = rest;
        Ok(text)
    }

    fn descr(&mut self) -> Result<&'a str, Fault> {
        if self.rest.trim_start().starts_with('[') {
            return Err(Fault::unsupported("expected numbers, found a structured type"));
        }
        Ok(self.quoted()?)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        if self.accept("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            if shape.len() == MOST_AXES {
                return Err(format!("expected at most {MOST_AXES} axes, found more"));
            }
            shape.push(self.number()?);
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }

    fn number(&mut self) -> Result<usize, String> {
        let rest = self.rest.trim_start();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = rest.split_at(digits);
        // Python 2 wrote whole numbers with an L.
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        number.parse().map_err(|_| {
            let found: String = self.rest.chars().take(20).collect();
            format!("the header: expected a side of the shape, found `{number}{found}`")
        })
    }
}

/// The type of an array's values.
fn number(descr: &str) -> Result<(Number, ByteOrder), Fault> {
    let other = || Fault::unsupported(format!("expected numbers, found values of type `{descr}`"));
    // The first character is one byte long, or the text is no type.
    let (order, kind) = descr.split_at_checked(1).ok_or_else(other)?;
    let number = match kind {
        "b1" => Number::Bool,
        "i1" => Number::I8,
        "i2" => Number::I16,
        "i4" => Number::I32,
        "i8" => Number::I64,
        "u1" => Number::U8,
        "u2" => Number::U16,
        "u4" => Number::U32,
        "u8" => Number::U64,
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => return Err(other()),
    };
    let order = match order {
        "<" => ByteOrder::Little,
        ">" => ByteOrder::Big,
        // The order of the machine that wrote the file, of which the file says nothing.
        "|" if number.width() == 1 => ByteOrder::Little,
        _ => return Err(other()),
    };
    Ok((number, order))
}

/// Writes a file with this array: version 1, little-endian, C order.
pub(super) fn write(array: &Array, out: &mut dyn Write) -> IoResult<()> {
    /// The values begin at a multiple of this, as NumPy's own do.
    const ALIGNED: usize = 64;
    if array.shape().len() > MOST_AXES {
        let text = format!("expected at most {MOST_AXES} axes, found {}", array.shape().len());
        return Err(IoError::new(ErrorKind::InvalidInput, text));
    }
    let descr = match array.values() {
        Values::F32(_) => "<f4",
        Values::F64(_) => "<f8",
        Values::I64(_) => "<i8",
    };
    let sides: Vec<String> = array.shape().iter().map(usize::to_string).collect();
    // As Python writes a tuple: one of a single number has a comma.
    let shape = sides.join(", ") + if sides.len() == 1 { "," } else { "" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + 4;
    let length = (before + text.len() + 1).next_multiple_of(ALIGNED) - before;
    let header = format!("{text:width$}\n", width = length - 1);
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    // A header of as many axes as are allowed, each of 20 digits, is shorter than 2^16.
    out.write_all(&(length as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    array.values().write(out)
}
