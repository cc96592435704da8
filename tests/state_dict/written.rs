//! What is written is read again bit for bit, and equal arrays give equal files.

use std::fs;

use flowkit::state_dict::{Array, StateDict, StateDictError, Values};

use super::{all_bits, file, read};

fn state() -> StateDict {
    let nan = f32::from_bits(0x7fa0_1234);
    let wide = f64::from_bits(0xfff0_0000_0000_0001);
    StateDict::of([
        ("w".into(), Array::new([2, 2], Values::F32(vec![0.1, -0.0, nan, f32::INFINITY]))),
        ("a/b/c".into(), Array::new([], Values::F64(vec![wide]))),
        ("größe".into(), Array::new([3], Values::I64(vec![i64::MIN, 0, i64::MAX]))),
        ("none".into(), Array::new([0, 3], Values::F32(vec![]))),
        ("weight:0".into(), Array::new([1; 64], Values::F64(vec![1.0]))),
    ])
}

#[test]
fn files_are_read_again_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut states = vec![state(), StateDict::new()];
    states.extend(["stored.npz", "numpy.safetensors", "tensors.pt"].map(read));
    for state in states {
        let [npz, other] = ["a.npz", "a.safetensors"].map(|name| folder.path().join(name));
        state.write_npz(&npz).unwrap();
        state.write_safetensors(&other).unwrap();
        let written = [&npz, &other].map(|path| fs::read(path).unwrap());
        for read in [StateDict::read(&npz).unwrap(), StateDict::read(&other).unwrap()] {
            assert_eq!(all_bits(&read), all_bits(&state));
            read.write_npz(&npz).unwrap();
            read.write_safetensors(&other).unwrap();
            assert_eq!([&npz, &other].map(|path| fs::read(path).unwrap()), written);
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// More entries than a number of 16 bits can count.
#[test]
fn archives_of_many_arrays_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.npz");
    for many in [65_534_u32, 65_535] {
        let array = |i: u32| Array::new([1], Values::I64(vec![i.into()]));
        let state = StateDict::of((0..many).map(|i| (i.to_string(), array(i))));
        state.write_npz(&path).unwrap();
        assert_eq!(all_bits(&StateDict::read(&path).unwrap()), all_bits(&state));
    }
}

#[test]
fn names_without_a_place_in_the_format_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, b"earlier").unwrap();
    let one =
        |name: &str| StateDict::of([(name.to_owned(), Array::new([], Values::F32(vec![1.0])))]);
    for name in ["/a", "../a", "a//b", "C:/a", "a\\b", "a\0", &"a".repeat(65_532)] {
        let error = one(name).write_npz(&path).unwrap_err();
        assert!(matches!(error, StateDictError::Write { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    one(&"a".repeat(65_531)).write_npz(folder.path().join("long")).unwrap();
    let error = one("__metadata__").write_safetensors(&path).unwrap_err();
    assert!(error.to_string().contains("__metadata__"), "{error}");
    let deep = StateDict::of([("a".into(), Array::new([1; 65], Values::F32(vec![1.0])))]);
    let error = deep.write_npz(&path).unwrap_err();
    assert!(error.to_string().contains("expected at most 64 axes, found 65"), "{error}");
    // A failure leaves the earlier file.
    assert_eq!(fs::read(&path).unwrap(), b"earlier");
    let error = one("a").write_npz(folder.path()).unwrap_err();
    assert!(matches!(error, StateDictError::Write { .. }), "{error}");
}

/// The bytes are those of NumPy, up to what tells one writer of archives from another.
#[test]
fn arrays_are_written_as_numpy_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.npz");
    read("stored.npz").write_npz(&path).unwrap();
    let [theirs, ours] =
        [file("stored.npz"), path].map(|path| super::zip::contents(&fs::read(path).unwrap()));
    let mut same = 0;
    for (name, contents) in theirs {
        let unchanged =
            ["f4/little", "f8/little", "i8/little", "scalar", "empty", "größe", "weight:0"];
        if unchanged.iter().any(|own| name == format!("{own}.npy")) {
            let own = ours.iter().find(|(own, _)| *own == name).unwrap();
            assert_eq!(own.1, contents, "{name}");
            same += 1;
        }
    }
    assert_eq!(same, 7);
}
