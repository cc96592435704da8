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

use super::{Array, Values};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Most axes of an array: NumPy's own limit.
const MOST_AXES: usize = 64;

/// Type and order of the values, and the shape.
struct Header<'a> {
    descr: &'a str,
    is_fortran: bool,
    shape: Vec<usize>,
}

/// The array of a file's bytes. An error says what was expected and what was found.
pub(super) fn read(bytes: &[u8]) -> Result<Array, String> {
    let (header, values) = split(bytes)?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text".to_owned())?;
    let Header { descr, is_fortran, shape } = parse(header)?;
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &side| count.checked_mul(side))
        .ok_or_else(|| format!("shape {shape:?} has more elements than memory can hold"))?;
    let kind = Kind::of(descr)?;
    let expected = count.checked_mul(kind.width);
    if expected != Some(values.len()) {
        let found = values.len();
        return Err(format!("shape {shape:?} of {descr} does not fit in {found} bytes of values"));
    }
    let values = kind.values(values)?;
    let values = if is_fortran { c_order(values, &shape) } else { values };
    Ok(Array::new(shape, values))
}

/// Header and values.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err("it does not begin with NumPy's magic string".to_owned());
    };
    let truncated = || "it ends within the header".to_owned();
    let (version, rest) = rest.split_at_checked(2).ok_or_else(truncated)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        found => return Err(format!("expected version 1, 2 or 3 of the format, found {found}")),
    };
    rest.split_at_checked(length).ok_or_else(truncated)
}

/// The three entries of the header, in any order.
fn parse(header: &str) -> Result<Header<'_>, String> {
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
            _ => return Err(format!("the header has an unknown entry `{key}`")),
        };
        if !is_new {
            return Err(format!("the header has two entries `{key}`"));
        }
        if !text.accept(",") {
            text.expect("}")?;
            break;
        }
    }
    if !text.rest.trim().is_empty() {
        return Err("something follows the header's literal".to_owned());
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

    fn descr(&mut self) -> Result<&'a str, String> {
        if self.rest.trim_start().starts_with('[') {
            return Err("expected numbers, found a structured type".to_owned());
        }
        self.quoted()
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
struct Kind {
    /// `f`, `i`, `u` or `b`.
    class: char,
    /// Bytes of a value.
    width: usize,
    is_big_endian: bool,
}

impl Kind {
    fn of(descr: &str) -> Result<Self, String> {
        let other = || format!("expected numbers, found values of type `{descr}`");
        let mut characters = descr.chars();
        let order = characters.next().ok_or_else(other)?;
        let class = characters.next().ok_or_else(other)?;
        let width = match characters.as_str() {
            "1" => 1,
            "2" => 2,
            "4" => 4,
            "8" => 8,
            _ => return Err(other()),
        };
        let is_known = match class {
            'f' => width > 1,
            'i' | 'u' => true,
            'b' => width == 1,
            _ => false,
        };
        let is_big_endian = match order {
            '<' => false,
            '>' => true,
            '=' => cfg!(target_endian = "big"),
            '|' if width == 1 => false,
            _ => return Err(other()),
        };
        if is_known { Ok(Self { class, width, is_big_endian }) } else { Err(other()) }
    }

    /// The values of bytes whose number is a multiple of the width.
    fn values(&self, bytes: &[u8]) -> Result<Values, String> {
        macro_rules! numbers {
            ($kind:ty, $convert:expr) => {
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&bytes| {
                        $convert(if self.is_big_endian {
                            <$kind>::from_be_bytes(bytes)
                        } else {
                            <$kind>::from_le_bytes(bytes)
                        })
                    })
                    .collect()
            };
        }
        Ok(match (self.class, self.width) {
            ('f', 2) => {
                Values::F32(numbers!(u16, |bits| burn::tensor::f16::from_bits(bits).to_f32()))
            }
            ('f', 4) => Values::F32(numbers!(f32, |value| value)),
            ('f', _) => Values::F64(numbers!(f64, |value| value)),
            ('i', 1) => Values::I64(numbers!(i8, i64::from)),
            ('i', 2) => Values::I64(numbers!(i16, i64::from)),
            ('i', 4) => Values::I64(numbers!(i32, i64::from)),
            ('i', _) => Values::I64(numbers!(i64, |value| value)),
            ('u' | 'b', 1) => Values::I64(numbers!(u8, i64::from)),
            ('u', 2) => Values::I64(numbers!(u16, i64::from)),
            ('u', 4) => Values::I64(numbers!(u32, i64::from)),
            _ => {
                let values: Vec<u64> = numbers!(u64, |value| value);
                let small = |value: u64| i64::try_from(value);
                let values = values.into_iter().map(small).collect::<Result<_, _>>();
                Values::I64(values.map_err(|_| format!("expected integers up to {}", i64::MAX))?)
            }
        })
    }
}

/// Values in Fortran order, where the first axis varies fastest, in C order.
fn c_order(values: Values, shape: &[usize]) -> Values {
    fn reordered<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
        let mut strides = Vec::with_capacity(shape.len());
        let mut stride = 1;
        for &side in shape {
            strides.push(stride);
            stride *= side;
        }
        let mut index = vec![0; shape.len()];
        let mut place = 0;
        let mut ordered = Vec::with_capacity(values.len());
        while ordered.len() < values.len() {
            ordered.push(values[place]);
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                place += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                place -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        ordered
    }
    match values {
        Values::F32(values) => Values::F32(reordered(&values, shape)),
        Values::F64(values) => Values::F64(reordered(&values, shape)),
        Values::I64(values) => Values::I64(reordered(&values, shape)),
    }
}

/// The bytes of a file with this array: version 1, little-endian, C order.
pub(super) fn write(array: &Array) -> Vec<u8> {
    /// The values begin at a multiple of this, as NumPy's own do.
    const ALIGNED: usize = 64;
    let descr = match array.values() {
        Values::F32(_) => "<f4",
        Values::F64(_) => "<f8",
        Values::I64(_) => "<i8",
    };
    let sides: Vec<String> = array.shape().iter().map(|side| format!("{side},")).collect();
    let shape = sides.join(" ");
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + 4;
    while !(before + header.len() + 1).is_multiple_of(ALIGNED) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    // A header of 64 axes, each of 20 digits, is shorter than 2^16.
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    match array.values() {
        Values::F32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Values::F64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Values::I64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
    }
    bytes
}
