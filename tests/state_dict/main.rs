//! Files of named arrays: what NumPy, PyTorch and safetensors wrote is read as they meant it, what
//! is written is read again bit for bit, and everything else is a named error.

mod broken;
mod npz;
mod pytorch;
mod refused;
mod safetensors;
mod written;
#[path = "../common/zip.rs"]
#[allow(dead_code)]
mod zip;

use std::path::PathBuf;

use burn::tensor::f16;
use flowkit::state_dict::{Array, StateDict, Values};

/// A file that `files.py` wrote.
fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "state_dict/files", name].iter().collect()
}

/// Its arrays, which are the same from memory.
fn read(name: &str) -> StateDict {
    let path = file(name);
    let state = StateDict::read(&path).unwrap();
    assert_eq!(state.path(), path);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(StateDict::from_bytes(&bytes, &path).unwrap(), state);
    state
}

/// Shape, type and values as bits, so that a negative zero and a NaN are themselves.
type Bits = (Vec<usize>, &'static str, Vec<u64>);

fn bits(array: &Array) -> Bits {
    let bits = match array.values() {
        Values::F32(values) => values.iter().map(|value| value.to_bits().into()).collect(),
        Values::F64(values) => values.iter().map(|value| value.to_bits()).collect(),
        Values::I64(values) => values.iter().map(|value| value.cast_unsigned()).collect(),
        _ => unreachable!("there is no other kind"),
    };
    (array.shape().to_vec(), array.values().kind(), bits)
}

/// The arrays of a state dict, in alphabetical order.
fn all_bits(state: &StateDict) -> Vec<(String, Bits)> {
    state.names().map(|name| (name.to_owned(), bits(state.get(name).unwrap()))).collect()
}

fn expect(state: &StateDict, name: &str, shape: &[usize], values: Values) {
    let found = state.get(name).unwrap_or_else(|| panic!("there is no {name}"));
    assert_eq!(bits(found), bits(&Array::new(shape, values)), "{name}");
}

/// Counting from 0.
fn counting(most: u16) -> Values {
    Values::F32((0..most).map(f32::from).collect())
}

/// What `numbers` of `files.py` returns for a type.
fn numbers(kind: &str) -> Values {
    let integers = |least: i64, most: i64| Values::I64(vec![0, 1, 2, least, most, 7]);
    match kind {
        "f2" => {
            let [tenth, largest, least] =
                [f16::from_f64(0.1), f16::MAX, f16::from_bits(1)].map(f16::to_f32);
            Values::F32(vec![tenth, -0.0, 3.0, largest, least, f32::NEG_INFINITY])
        }
        "f4" => Values::F32(vec![0.1, -0.0, 3.0, f32::MAX, f32::from_bits(1), f32::NEG_INFINITY]),
        "f8" => Values::F64(vec![0.1, -0.0, 3.0, f64::MAX, f64::from_bits(1), f64::NEG_INFINITY]),
        "i1" => integers(i8::MIN.into(), i8::MAX.into()),
        "i2" => integers(i16::MIN.into(), i16::MAX.into()),
        "i4" => integers(i32::MIN.into(), i32::MAX.into()),
        "i8" => integers(i64::MIN, i64::MAX),
        "u1" => integers(0, u8::MAX.into()),
        "u2" => integers(0, u16::MAX.into()),
        "u4" => integers(0, u32::MAX.into()),
        "u8" => integers(0, i64::MAX),
        _ => panic!("{kind}"),
    }
}

const KINDS: [&str; 11] = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"];

/// The arrays of `arrays` of `files.py` that have no order of bytes in their name.
fn expect_others(state: &StateDict) {
    expect(state, "bool", &[3], Values::I64(vec![1, 0, 1]));
    expect(state, "fortran", &[2, 3, 4], counting(24));
    expect(state, "fortran_big", &[2, 3], Values::F64((0..6).map(f64::from).collect()));
    expect(state, "scalar", &[], Values::F64(vec![2.5]));
    expect(state, "empty", &[0, 3], Values::F32(vec![]));
    expect(state, "empty_fortran", &[3, 0], Values::F32(vec![]));
    expect(state, "Norm_3/norm0/g", &[1, 1, 2], Values::F32(vec![0.25, 0.25]));
    expect(state, "größe", &[3], Values::I64(vec![0, 1, 2]));
    expect(state, "weight:0", &[1], Values::F32(vec![1.5]));
}
