//! State dicts of PyTorch.

use burn::tensor::f16;
use flowkit::state_dict::{StateDict, Values};

use super::{all_bits, counting, expect, file, read};

fn floats(values: &[f32]) -> Values {
    Values::F32(values.to_vec())
}

#[test]
fn tensors_are_read() {
    let state = read("tensors.pt");
    expect(&state, "grid", &[4, 6], counting(24));
    let transposed: Vec<f32> =
        (0..6_u8).flat_map(|i| (0..4).map(move |j| f32::from(6 * j + i))).collect();
    expect(&state, "transposed", &[6, 4], Values::F32(transposed));
    expect(&state, "part", &[2, 3], floats(&[8.0, 9.0, 10.0, 14.0, 15.0, 16.0]));
    let step: Vec<f32> = (0..24_u8).step_by(2).map(f32::from).collect();
    expect(&state, "step", &[4, 3], Values::F32(step));
    expect(&state, "expanded", &[2, 3], floats(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]));
    expect(&state, "scalar", &[], Values::F64(vec![2.5]));
    expect(&state, "empty", &[0, 3], floats(&[]));
    expect(&state, "bool", &[2], Values::I64(vec![1, 0]));
    expect(&state, "parameter", &[6], counting(6));
    expect(&state, "bfloat16", &[3], floats(&[1.5, -2.0, f32::from_bits(0x7f62_0000)]));
    expect(&state, "half", &[2], floats(&[f16::from_f64(0.1).to_f32(), 65504.0]));
    for (name, least, most) in [
        ("int8", i8::MIN.into(), i8::MAX.into()),
        ("int16", i16::MIN.into(), i16::MAX.into()),
        ("int32", i32::MIN.into(), i32::MAX.into()),
        ("int64", i64::MIN, i64::MAX),
        ("uint8", 0, u8::MAX.into()),
        ("uint16", 0, u16::MAX.into()),
        ("uint32", 0, u32::MAX.into()),
        ("uint64", 0, i64::MAX),
    ] {
        expect(&state, name, &[2], Values::I64(vec![least, most]));
    }
    assert_eq!(state.names().count(), 19);
}

#[test]
fn the_state_of_a_module_is_read() {
    for name in ["model.pt", "without_checksums.pt"] {
        let state = read(name);
        expect(&state, "0.weight", &[2, 3], floats(&[0.75; 6]));
        expect(&state, "0.bias", &[2], floats(&[0.75; 2]));
        expect(&state, "1.weight", &[2], floats(&[0.75; 2]));
        expect(&state, "1.bias", &[2], floats(&[0.75; 2]));
        expect(&state, "1.running_mean", &[2], floats(&[0.0; 2]));
        expect(&state, "1.running_var", &[2], floats(&[1.0; 2]));
        expect(&state, "1.num_batches_tracked", &[], Values::I64(vec![0]));
        assert_eq!(state.names().count(), 7);
        let same = StateDict::read_pytorch(file(name)).unwrap();
        assert_eq!(all_bits(&same), all_bits(&state));
    }
    assert_eq!(read("none.pt").names().count(), 0);
}
