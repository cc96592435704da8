//! Edits of bytes: flips, numbers, cuts, copies, splices.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// A place in bytes whose number is not known yet.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Anywhere(Index),
    /// In a header, where most numbers are that a reader believes.
    Early(usize),
}

impl Place {
    fn within(self, length: usize) -> usize {
        match self {
            Self::Anywhere(index) => index.index(length + 1),
            Self::Early(at) => at.min(length),
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub enum Edit {
    Flip {
        at: Place,
        bit: u8,
    },
    Byte {
        at: Place,
        value: u8,
    },
    /// A number of `width` bytes at a place where one may be.
    Number {
        at: Place,
        value: u64,
        width: usize,
        big_endian: bool,
    },
    Cut {
        at: Place,
        length: usize,
    },
    Truncate {
        at: Place,
    },
    /// Bytes are repeated, in place of others or between them.
    Copy {
        from: Place,
        length: usize,
        to: Place,
        overwrites: bool,
    },
    /// The rest is that of another seed.
    Splice {
        at: Place,
        other: Index,
        from: Place,
    },
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let length = bytes.len();
        match *self {
            Self::Flip { at, bit } => {
                if let Some(byte) = bytes.get_mut(at.within(length)) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Byte { at, value } => {
                if let Some(byte) = bytes.get_mut(at.within(length)) {
                    *byte = value;
                }
            }
            Self::Number { at, value, width, big_endian } => {
                let number = if big_endian { value << (64 - 8 * width) } else { value };
                let number = if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
                let place = bytes.iter_mut().skip(at.within(length));
                place.zip(&number[..width]).for_each(|(byte, new)| *byte = *new);
            }
            Self::Cut { at, length: cut } => {
                let start = at.within(length);
                bytes.drain(start..(start + cut).min(length));
            }
            Self::Truncate { at } => bytes.truncate(at.within(length)),
            Self::Copy { from, length: copied, to, overwrites } => {
                let (from, to) = (from.within(length), to.within(length));
                let block = bytes[from..(from + copied).min(length)].to_vec();
                let end = if overwrites { (to + block.len()).min(length) } else { to };
                bytes.splice(to..end, block);
            }
            Self::Splice { at, other, from } => {
                let other = &others[other.index(others.len())];
                bytes.truncate(at.within(length));
                bytes.extend(&other[from.within(other.len())..]);
            }
        }
    }
}

/// All edits, one after another. `others` must not be empty.
pub fn edited(bytes: &[u8], edits: &[Edit], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    edits.iter().for_each(|edit| edit.apply(&mut bytes, others));
    bytes
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![any::<Index>().prop_map(Place::Anywhere), (0usize..64).prop_map(Place::Early)]
}

/// Ends of ranges, and what is just beyond them.
fn extreme() -> impl Strategy<Value = u64> {
    let near = |number: u64| [number.wrapping_sub(1), number, number.wrapping_add(1)];
    let ends = [0, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 63];
    let ends: Vec<u64> = ends.into_iter().flat_map(near).collect();
    prop_oneof![proptest::sample::select(ends), any::<u64>(), 0u64..40]
}

fn edit() -> impl Strategy<Value = Edit> {
    let length = || prop_oneof![0usize..16, 0usize..2000];
    prop_oneof![
        3 => (place(), 0u8..8).prop_map(|(at, bit)| Edit::Flip { at, bit }),
        2 => (place(), any::<u8>()).prop_map(|(at, value)| Edit::Byte { at, value }),
        4 => (place(), extreme(), proptest::sample::select(vec![2usize, 4, 8]), any::<bool>())
            .prop_map(|(at, value, width, big_endian)| {
                Edit::Number { at, value, width, big_endian }
            }),
        1 => (place(), length()).prop_map(|(at, length)| Edit::Cut { at, length }),
        1 => place().prop_map(|at| Edit::Truncate { at }),
        2 => (place(), length(), place(), any::<bool>())
            .prop_map(|(from, length, to, overwrites)| Edit::Copy { from, length, to, overwrites }),
        1 => (place(), any::<Index>(), place())
            .prop_map(|(at, other, from)| Edit::Splice { at, other, from }),
    ]
}

/// At most `most` edits.
pub fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    vec(edit(), 0..=most)
}
