//! NumPy's archives.

use flowkit::state_dict::{StateDict, Values};

use super::{KINDS, all_bits, expect, expect_others, file, numbers, read};

#[test]
fn every_type_and_order_is_read() {
    for name in ["stored.npz", "deflated.npz"] {
        let state = read(name);
        for kind in KINDS {
            for order in ["little", "big"] {
                expect(&state, &format!("{kind}/{order}"), &[2, 3], numbers(kind));
            }
        }
        expect_others(&state);
        assert_eq!(state.names().count(), 2 * KINDS.len() + 9, "{name}");
        let same = StateDict::read_npz(file(name)).unwrap();
        assert_eq!(all_bits(&same), all_bits(&state));
    }
}

#[test]
fn every_version_is_read() {
    let state = read("versions.npz");
    for version in 1..=3 {
        expect(&state, &format!("version{version}"), &[4], Values::F32(vec![0.0, 1.0, 2.0, 3.0]));
    }
}

#[test]
fn an_archive_may_be_empty() {
    assert_eq!(read("none.npz").names().count(), 0);
}
