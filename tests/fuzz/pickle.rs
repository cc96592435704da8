//! Edits of pickles: other instructions, numbers and names in the place of the right ones.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::bytes;

/// One change.
#[derive(Clone, Debug)]
pub enum Edit {
    /// The argument of an instruction that makes a small number: a size, a stride, a key.
    Number {
        at: Index,
        value: u8,
    },
    /// Another instruction in the place of that number.
    Large {
        at: Index,
        value: i64,
    },
    /// An instruction where one may be.
    Insert {
        at: Index,
        instruction: &'static [u8],
    },
    /// Another name, perhaps of a function.
    Name {
        at: Index,
        name: &'static [u8],
    },
    Bytes(Vec<bytes::Edit>),
}

pub fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let instructions: Vec<&'static [u8]> = vec![
        b"(",
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"\x89",
        b")",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"}",
        b"]",
        b"s",
        b"u",
        b"Q",
        b"R",
        b"b",
        b".",
        b"q\x00",
        b"h\x00",
        b"h\x01",
        b"h\x05",
        b"r\xff\xff\xff\xff",
        b"j\xff\xff\xff\xff",
        b"K\x00",
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
        b"\x8a\x00",
        b"\x8a\x01\xff",
        b"\x8a\xff",
        b"X\x00\x00\x00\x00",
        b"X\xff\xff\xff\xff",
        b"X\x01\x00\x00\x00\xff",
        b"G\0\0\0\0\0\0\0\0",
        b"\x81",
        b"\x82\x01",
        b"\x93",
        b"\x94",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
        b"cos\nsystem\n",
        b"cbuiltins\neval\n",
        b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"c\n\n",
        b"c\xff\n\n",
    ];
    let names: Vec<&'static [u8]> = vec![
        b"posix\nsystem",
        b"builtins\nexec",
        b"torch\nDoubleStorage",
        b"torch\nBoolStorage",
        b"torch\nHalfStorage",
        b"torch\nuint64",
        b"torch.storage\nUntypedStorage",
        b"collections\nOrderedDict",
        b"torch._utils\n_rebuild_tensor_v3",
        b"torch._utils\n_rebuild_parameter",
    ];
    let large =
        select(vec![0, -1, 255, 256, 1 << 31, 1 << 32, 1 << 61, 1 << 62, i64::MAX, i64::MIN]);
    let value = prop_oneof![0..9_u8, any::<u8>()];
    prop_oneof![
        5 => (at(), value).prop_map(|(at, value)| Edit::Number { at, value }),
        3 => (at(), large).prop_map(|(at, value)| Edit::Large { at, value }),
        3 => (at(), select(instructions))
            .prop_map(|(at, instruction)| Edit::Insert { at, instruction }),
        2 => (at(), select(names)).prop_map(|(at, name)| Edit::Name { at, name }),
        2 => bytes::edits(2).prop_map(Edit::Bytes),
    ]
}

/// The place of one of the bytes `instruction`.
fn place(pickle: &[u8], instruction: u8, at: Index) -> Option<usize> {
    let found = pickle.iter().filter(|&&byte| byte == instruction).count();
    let which = at.index(found.max(1));
    pickle.iter().enumerate().filter(|(_, byte)| **byte == instruction).nth(which).map(|(at, _)| at)
}

/// A pickle, or another entry of the archive, with its change.
pub fn edited(pickle: &[u8], edit: &Edit) -> Vec<u8> {
    let mut bytes = pickle.to_vec();
    match *edit {
        Edit::Number { at, value } => {
            let place = place(pickle, b'K', at).and_then(|at| bytes.get_mut(at + 1));
            if let Some(number) = place {
                *number = value;
            }
        }
        Edit::Large { at, value } => {
            if let Some(place) = place(pickle, b'K', at).filter(|at| at + 1 < pickle.len()) {
                let long = [&[0x8a, 8][..], &value.to_le_bytes()].concat();
                bytes.splice(place..place + 2, long);
            }
        }
        Edit::Insert { at, instruction } => {
            let place = at.index(bytes.len() + 1);
            bytes.splice(place..place, instruction.iter().copied());
        }
        Edit::Name { at, name } => {
            // A name and its module are two lines behind a `c`.
            if let Some(start) = place(pickle, b'c', at) {
                let lines = pickle[start..].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                if let Some((end, _)) = lines.take(2).last() {
                    bytes.splice(start + 1..start + end, name.iter().copied());
                }
            }
        }
        Edit::Bytes(ref edits) => {
            bytes = bytes::edited(pickle, edits, std::slice::from_ref(&bytes));
        }
    }
    bytes
}
