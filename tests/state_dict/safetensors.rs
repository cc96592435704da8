//! Safetensors files.

use flowkit::state_dict::{StateDict, Values};

use super::{KINDS, expect, expect_others, file, numbers, read};

#[test]
fn every_type_is_read() {
    let state = read("numpy.safetensors");
    for kind in KINDS {
        expect(&state, &format!("{kind}/little"), &[2, 3], numbers(kind));
    }
    expect_others(&state);
    assert_eq!(state.names().count(), KINDS.len() + 9);
    let state = StateDict::read_safetensors(file("bfloat16.safetensors")).unwrap();
    // 16 bits of the nearest number.
    let near = f32::from_bits(0x7f62_0000);
    expect(&state, "bfloat16", &[3], Values::F32(vec![1.5, -2.0, near]));
}
