//! Edits of NumPy's arrays: another header, another number of bytes.

use proptest::prelude::*;
use proptest::sample::select;

use super::bytes;
use super::zip::{header, npy};

/// One change.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Another literal, or one in which a part is another.
    Header {
        descr: &'static str,
        order: &'static str,
        shape: &'static str,
    },
    Version {
        major: u8,
        minor: u8,
    },
    Length(u16),
    /// So many zeros instead of the values.
    Values(usize),
    /// Bytes of the header.
    Text(Vec<bytes::Edit>),
    Bytes(Vec<bytes::Edit>),
}

pub fn edit() -> impl Strategy<Value = Edit> {
    let descr = select(vec![
        "'<f2'",
        "'>f2'",
        "'<f4'",
        "'>f4'",
        "'<f8'",
        "'>f8'",
        "'|i1'",
        "'<i2'",
        "'>i4'",
        "'<i8'",
        "'|u1'",
        "'<u2'",
        "'<u4'",
        "'>u8'",
        "'|b1'",
        "'=f4'",
        "'|O'",
        "'<U2'",
        "'<c8'",
        "'<f16'",
        "'<f0'",
        "[('a', '<f4')]",
        "[[[[[[",
        "''",
        "'<'",
        "'ü4'",
        "\"<f4\"",
        "<f4",
        "{'descr': 1}",
    ]);
    let order = select(vec!["True", "False", "Maybe", "0", "'True'"]);
    let shape = select(vec![
        "()",
        "(6,)",
        "(2, 3)",
        "(3, 2)",
        "(2, 3, 1)",
        "(0,)",
        "(0, 18446744073709551615)",
        "(18446744073709551615, 2)",
        "(4294967296, 4294967296, 0)",
        "(9223372036854775807,)",
        "(4611686018427387904, 4)",
        "(-1,)",
        "(6)",
        "6",
        "(6L,)",
        "(2, 3",
        "((((((",
        "(1e9,)",
        "(99999999999999999999999,)",
        "(12,)",
        "(24,)",
        "(48,)",
        "(1, 1, 1, 1, 6)",
        "(1000000000,)",
    ]);
    let counts = select(vec![0, 1, 6, 12, 23, 24, 48, 60_000]);
    prop_oneof![
        6 => (descr, order, shape)
            .prop_map(|(descr, order, shape)| Edit::Header { descr, order, shape }),
        1 => (0..5_u8, 0..2_u8).prop_map(|(major, minor)| Edit::Version { major, minor }),
        1 => any::<u16>().prop_map(Edit::Length),
        2 => counts.prop_map(Edit::Values),
        2 => bytes::edits(2).prop_map(Edit::Text),
        2 => bytes::edits(2).prop_map(Edit::Bytes),
    ]
}

/// Header and values of an array that is right.
fn parts(array: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u16::from_le_bytes([*array.get(8)?, *array.get(9)?]);
    array.get(10..)?.split_at_checked(length.into())
}

/// An array with its change.
pub fn edited(array: &[u8], edit: &Edit) -> Vec<u8> {
    let mut bytes = array.to_vec();
    let own = [bytes.clone()];
    match (edit, parts(array)) {
        (Edit::Header { descr, order, shape }, Some((_, values))) => {
            bytes = npy(&header(descr, order, shape), values);
        }
        (Edit::Values(count), Some((text, _))) => {
            bytes.truncate(10 + text.len());
            bytes.resize(10 + text.len() + count, 0);
        }
        (Edit::Text(edits), Some((text, values))) => {
            let text = bytes::edited(text, edits, &own);
            bytes = npy("", &[]);
            bytes[8..].copy_from_slice(&(text.len() as u16).to_le_bytes());
            bytes.extend(text);
            bytes.extend(values);
        }
        (Edit::Version { major, minor }, _) if bytes.len() > 8 => {
            bytes[6..8].copy_from_slice(&[*major, *minor]);
        }
        (Edit::Length(length), _) if bytes.len() > 10 => {
            bytes[8..10].copy_from_slice(&length.to_le_bytes());
        }
        (Edit::Bytes(edits), _) => bytes = bytes::edited(&bytes, edits, &own),
        _ => {}
    }
    bytes
}
