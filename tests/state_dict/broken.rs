//! Files that break a rule of their format.

use flowkit::state_dict::{StateDict, StateDictError};

use super::zip::{Field, Member, Zip, header, npy};

/// The text of the error behind the names of file and format.
fn broken(bytes: &[u8], format: &str) -> String {
    let error = StateDict::from_bytes(bytes, "weights").unwrap_err();
    assert!(matches!(error, StateDictError::Malformed { .. }), "{error:?}");
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("weights is not a valid {format} file: "));
    rest.unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// Of an archive.
fn archive(zip: &Zip) -> String {
    broken(&zip.write(), "npz")
}

fn array() -> Vec<u8> {
    npy(&header("'<f4'", "False", "(2,)"), &[0; 8])
}

fn member(name: &str) -> Member {
    Member::stored(name, &array())
}

/// The valid archive that the others differ from in one field.
fn valid() -> Zip {
    Zip::of([member("a.npy"), Member::deflated("b.npy", &array())])
}

#[test]
fn the_archive_without_a_lie_is_read() {
    for is_wide in [false, true] {
        let mut zip = valid();
        zip.is_wide = is_wide;
        zip.members.iter_mut().for_each(|member| member.is_wide = is_wide);
        zip.comment = b"PK\x05\x06 and more, which looks like the end record".to_vec();
        let state = StateDict::from_bytes(&zip.write(), "weights").unwrap();
        assert_eq!(state.names().collect::<Vec<_>>(), ["a", "b"]);
    }
}

#[test]
fn directories_are_checked() {
    let change = |change: fn(&mut Zip)| {
        [false, true].map(|is_wide| {
            let mut zip = Zip { is_wide, ..valid() };
            change(&mut zip);
            archive(&zip)
        })
    };
    for text in change(|zip| zip.count = Field::Is(3)) {
        assert_eq!(text, "the directory: expected 4 more bytes, found 0");
    }
    for text in change(|zip| zip.count = Field::Is(1)) {
        assert!(text.starts_with("the directory: expected its end, found"), "{text}");
    }
    let changes: [fn(&mut Zip); 4] = [
        |zip| zip.directory_size = Field::Is(1),
        |zip| zip.directory_size = Field::Is(u64::MAX),
        |zip| zip.directory_start = Field::Is(1),
        |zip| zip.directory_start = Field::Is(u64::MAX),
    ];
    for text in changes.into_iter().flat_map(change) {
        assert!(text.contains("does not end where the end record begins"), "{text}");
    }
    for text in change(|zip| zip.tail = vec![0]) {
        assert_eq!(text, "there is no end record that ends with the file");
    }
    let whole = valid().write();
    for length in 4..whole.len() {
        broken(&whole[..length], "npz");
    }
}

#[test]
fn entries_are_checked() {
    let change = |change: fn(&mut Member)| {
        let mut zip = valid();
        change(&mut zip.members[1]);
        archive(&zip)
    };
    let differs = "`b.npy`: the local header and the directory differ";
    assert_eq!(change(|member| member.local_name = Some(b"c.npy".to_vec())), differs);
    assert_eq!(change(|member| member.local_method = Some(0)), differs);
    assert_eq!(change(|member| member.local_size = Field::Is(1)), differs);
    assert_eq!(
        change(|member| member.start = Field::Is(1)),
        "`b.npy`: there is no local header where the directory says"
    );
    for (text, expected) in [
        (
            change(|member| member.start = Field::Is(u64::from(u32::MAX - 1))),
            "is not within the file",
        ),
        (change(|member| member.checksum ^= 1), "expected the checksum"),
        (change(|member| member.size += 1), "needs 8 bytes, found 9"),
        (change(|member| member.size -= 1), "needs 8 bytes, found 7"),
        (change(|member| member.size = 1 << 30), "deflated bytes do not expand to 1073741824"),
        (change(|member| member.packed_size = Field::Is(1 << 20)), "is not within the file"),
        (change(|member| member.packed_size = Field::Is(3)), "`b`: "),
        (change(|member| member.packed.push(0)), "bytes follow the end of the deflated ones"),
        (change(|member| member.packed[0] ^= 7), "`b`: "),
    ] {
        assert!(text.starts_with("`b") && text.contains(expected), "{text}");
    }
    // The other array's bytes once more.
    let mut zip = valid();
    zip.members[1] = Member { name: b"b.npy".to_vec(), ..member("a.npy") };
    (zip.members[1].start, zip.members[0].name) = (Field::Is(0), b"b.npy".to_vec());
    zip.members[0].local_name = Some(b"b.npy".to_vec());
    assert_eq!(archive(&zip), "`b.npy`: there are two entries of this name");
    let mut inner = Member::stored("inner.npy", &array());
    let packed = Zip::of([inner.clone()]).write();
    let outer = Member::stored("outer.npy", &packed);
    inner.start = Field::Is(30 + 9);
    let text = archive(&Zip::of([outer, inner]));
    assert_eq!(text, "the entries `outer.npy` and `inner.npy` share bytes");
}

#[test]
fn entries_of_other_kinds_are_named() {
    for (change, expected) in [
        ((|member| member.flags = 1) as fn(&mut Member), "`b.npy`: the entry is encrypted"),
        (|member| member.flags = 1 << 6, "`b.npy`: the entry is encrypted"),
        (|member| member.flags = 1 << 5, "`b.npy`: the entry is a patch"),
        (
            |member| member.method = 9,
            "`b.npy`: expected method 0 (stored) or 8 (deflated), found 9",
        ),
    ] {
        let mut zip = valid();
        change(&mut zip.members[1]);
        let error = StateDict::from_bytes(&zip.write(), "weights").unwrap_err();
        assert!(matches!(error, StateDictError::Unsupported { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("weights: cannot read this npz file: {expected}"));
    }
}

#[test]
fn names_that_are_paths_are_errors() {
    for name in
        ["/a.npy", "../a.npy", "a/../../b.npy", "a//b.npy", "./a.npy", "C:/a.npy", "a\\b.npy"]
    {
        let text = archive(&Zip::of([member(name)]));
        assert_eq!(text, format!("`{name}`: expected a name, found a path out of the archive"));
    }
    let text = archive(&Zip::of([member("a.npz")]));
    assert_eq!(text, "`a.npz`: expected a name that ends in `.npy`");
    let text = archive(&Zip::of([Member { name: vec![0xff], ..member("a.npy") }]));
    assert!(text.ends_with("is not UTF-8"), "{text}");
    for name in ["a.npy", "a", "b.npy"] {
        let text = archive(&Zip::of([member(name), member(name)]));
        assert_eq!(text, format!("`{name}`: there are two entries of this name"));
    }
}

#[test]
fn arrays_are_checked() {
    let text = |contents: &[u8]| archive(&Zip::of([Member::stored("a.npy", contents)]));
    let of = |header: &str| text(&npy(header, &[0; 8]));
    for (descr, order, shape, expected) in [
        ("'<f4'", "False", "(3,)", "shape [3] of `<f4` needs 12 bytes, found 8"),
        ("'<f4'", "False", "(1,)", "shape [1] of `<f4` needs 4 bytes, found 8"),
        ("'<f8'", "False", "(2,)", "shape [2] of `<f8` needs 16 bytes, found 8"),
        ("'|b1'", "False", "()", "shape [] of `|b1` needs 1 bytes, found 8"),
        ("'<f4'", "Maybe", "(2,)", "the header: expected `False`, found \"Maybe, 'shape': (2,)\""),
        ("'<f4'", "0", "(2,)", "the header: expected `False`, found \"0, 'shape': (2,), }\\n\""),
        ("'<f4'", "False", "2", "the header: expected `(`, found \"2, }\\n\""),
        ("'<f4'", "False", "(-2,)", "the header: expected a side of the shape, found `-2,), }\n`"),
        (
            "'<f4'",
            "False",
            "(4294967296, 4294967296)",
            "the number of elements of shape [4294967296, 4294967296] overflows",
        ),
        (
            "'<f4'",
            "True",
            "(4611686018427387904,)",
            "the size of shape [4611686018427387904] overflows",
        ),
    ] {
        assert_eq!(of(&header(descr, order, shape)), format!("`a`: {expected}"));
    }
    let whole = header("'<f4'", "False", "(2,)");
    let many = header("'<f4'", "False", &format!("({})", "1,".repeat(65)));
    for (found, expected) in [
        (of(&many), "expected at most 64 axes, found more"),
        (of(&format!("{whole}{whole}")), "something follows the header's literal"),
        (of(&whole.replace("}", "'shape': (2,)}")), "the header has two entries `shape`"),
        (of(&whole.replace("}", "'a': (2,)}")), "the header has an unknown entry `a`"),
        (of("{'descr': '<f4', 'shape': (2,)}"), "the header has no entry `fortran_order`"),
        (of(&whole[..20]), "the header ends within a text"),
        (of(""), "the header: expected `{`, found \"\""),
        (text(b"\x93NUMPZ\x01\0"), "it does not begin with NumPy's magic string"),
        (
            text(b"\x93NUMPY\x02\0\xff\xff\xff\xff"),
            "expected a header of at most 65535 bytes, found 4294967295",
        ),
        (text(b"\x93NUMPY\x01\0\x09\0{"), "expected 9 more bytes, found 1"),
        (text(b""), "failed to fill whole buffer"),
    ] {
        assert_eq!(found, format!("`a`: {expected}"));
    }
    let text = text(&npy(&header("'|b1'", "False", "(1,)"), &[2]));
    assert_eq!(text, "`a`: expected a boolean, 0 or 1, found 2");
}

/// A few kilobytes that expand to gigabytes: where a header lies about them, nothing is expanded.
#[test]
fn bombs_are_errors() {
    let zeros = npy(&header("'<f4'", "False", "(2,)"), &vec![0; 1 << 22]);
    let text = archive(&Zip::of([Member::deflated("a.npy", &zeros)]));
    assert_eq!(text, "`a`: shape [2] of `<f4` needs 8 bytes, found 4194304");
    let mut bomb = Member::deflated("a.npy", &zeros);
    bomb.size = array().len() as u64;
    let text = archive(&Zip::of([bomb]));
    assert!(text.contains("expected the checksum"), "{text}");
}

#[test]
fn safetensors_are_checked() {
    let file = |header: &str, values: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + values, 0);
        broken(&bytes, "safetensors")
    };
    let entry = |name: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let twice = format!("{{{0},{0}}}", entry("a", "[1]", "[0,4]"));
    assert!(file(&twice, 4).starts_with("there are two arrays `a`"));
    for (header, values) in [
        (format!("{{{}}}", entry("a", "[2]", "[0,4]")), 4),
        (format!("{{{}}}", entry("a", "[1]", "[0,4]")), 5),
        (format!("{{{}}}", entry("a", "[1]", "[1,5]")), 5),
        (format!("{{{}}}", entry("a", "[4294967296,4294967296]", "[0,0]")), 0),
        (format!("{{{},{}}}", entry("a", "[1]", "[0,4]"), entry("b", "[1]", "[0,4]")), 4),
        ("{".to_owned(), 0),
        ("{}".to_owned(), 1),
    ] {
        assert!(!file(&header, values).is_empty());
    }
    let truth = r#"{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}"#;
    let mut bytes = (truth.len() as u64).to_le_bytes().to_vec();
    bytes.extend(truth.as_bytes());
    bytes.push(2);
    assert_eq!(broken(&bytes, "safetensors"), "`a`: expected a boolean, 0 or 1, found 2");
}

/// The instruction that makes an integer of 8 bytes.
fn long(number: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &number.to_le_bytes()].concat()
}

fn tuple(numbers: &[i64]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.iter().flat_map(|&number| long(number)).collect();
    [b"(", &numbers[..], b"t"].concat()
}

/// A pickle of a dict with the tensor `a` in the storage `0`.
fn pickle(class: &str, count: i64, start: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let class = format!("c{class}\n");
    [
        b"\x80\x02}(X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage",
        class.as_bytes(),
        b"X\x01\0\0\x000X\x03\0\0\0cpu",
        &long(count),
        b"tQ",
        &long(start),
        &tuple(shape),
        &tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtRu.",
    ]
    .concat()
}

/// The archive of a pickle and one storage.
fn model(pickle: &[u8], storage: &[u8]) -> Zip {
    Zip::of([Member::stored("m/data.pkl", pickle), Member::stored("m/data/0", storage)])
}

#[test]
fn tensors_are_checked() {
    let float = "torch\nFloatStorage";
    let right = model(&pickle(float, 6, 1, &[2, 2], &[1, 2]), &[0; 24]);
    let state = StateDict::from_bytes(&right.write(), "weights").unwrap();
    assert_eq!(state.get("a").unwrap().shape(), [2, 2]);
    let text = |start, shape: &[i64], strides: &[i64]| {
        let file = model(&pickle(float, 6, start, shape, strides), &[0; 24]);
        broken(&file.write(), "PyTorch")
    };
    let leaves = "leaves its storage of 6 numbers";
    for (found, expected) in [
        (text(0, &[7], &[1]), leaves),
        (text(3, &[2, 2], &[2, 1]), leaves),
        (text(6, &[1], &[1]), leaves),
        // Numbers whose products and sums would be small again after an overflow.
        (text(0, &[3], &[1 << 63]), "expected a number of at least 0, found -9223372036854775808"),
        (text(0, &[5, 5], &[1 << 62, 1]), leaves),
        (text(i64::MAX, &[2, 2], &[i64::MAX, 2]), leaves),
        (text(0, &[1 << 32, 1 << 32], &[0, 0]), "overflows"),
        (text(0, &[-1], &[1]), "expected a number of at least 0, found -1"),
        (text(-1, &[1], &[1]), "expected a number of at least 0, found -1"),
        (text(0, &[2], &[]), "shape [2] has the strides []"),
    ] {
        assert!(found.starts_with("`a`: ") && found.contains(expected), "{found}");
    }
    for (class, count, storage, expected) in [
        (float, 6, 20, "storage `0`: 6 numbers of 4 bytes, found 20 bytes"),
        (float, 1 << 62, 0, "storage `0`: 4611686018427387904 numbers of 4 bytes, found 0 bytes"),
        ("torch\nDoubleStorage", 6, 24, "storage `0`: 6 numbers of 8 bytes, found 24 bytes"),
        ("torch.storage\nUntypedStorage", 24, 24, "the types of tensor and storage do not fit"),
        ("torch\nuint16", 24, 24, "the types of tensor and storage do not fit"),
    ] {
        let file = model(&pickle(class, count, 0, &[1], &[1]), &vec![0; storage]);
        assert_eq!(broken(&file.write(), "PyTorch"), format!("`a`: {expected}"));
    }
    let mut file = right.clone();
    file.members[1].name = b"m/data/1".to_vec();
    assert_eq!(broken(&file.write(), "PyTorch"), "`a`: there is no entry of its storage `0`");
    let mut file = right.clone();
    file.members[1].checksum ^= 1;
    let text = broken(&file.write(), "PyTorch");
    assert!(text.starts_with("`m/data/0`: expected the checksum"), "{text}");
    let mut file = right;
    file.members.push(Member::stored("m/byteorder", b"middle"));
    assert_eq!(broken(&file.write(), "PyTorch"), "expected the byte order little or big");
}

#[test]
fn pickles_are_checked() {
    let text =
        |bytes: &[u8]| broken(&model(&[b"\x80\x02", bytes].concat(), &[]).write(), "PyTorch");
    let needs = "the pickle: an instruction needs an object, and there is none";
    for (pickle, expected) in [
        (&b""[..], "the pickle: expected 1 more bytes, found 0"),
        (b".", "the pickle: it does not end with one object"),
        (b"}}.", "the pickle: it does not end with one object"),
        (b"}(.", "the pickle: it does not end with one object"),
        (b"}.}", "the pickle: expected its end, found 1 bytes"),
        (b"s", needs),
        (b"}(s", needs),
        (b"\x87", needs),
        (b"q\0", needs),
        (b"R", needs),
        (b"t", "the pickle: an instruction needs a mark"),
        (b"}(Nu", "the pickle: a key has no value"),
        (b")(u", "the pickle: expected a dict, found something else"),
        (b"}Nb", "the pickle: expected attributes, found something else"),
        (b")}b", "the pickle: expected a dict, found something else"),
        (b"h\0", "the pickle: there is no object 0"),
        (b"j\xff\xff\xff\xff", "the pickle: there is no object 4294967295"),
        (b"))R", "the pickle: expected a function and its arguments"),
        (b"\x8a\x09123456789", "the pickle: an integer has 9 bytes"),
        (b"X\xff\xff\xff\xff", "the pickle: expected 4294967295 more bytes, found 0"),
        (b"X\x01\0\0\0\xff", "the pickle: a text is not UTF-8"),
        (b"ctorch", "the pickle: expected a line, found no end of it"),
    ] {
        assert_eq!(text(pickle), expected);
    }
    let file = model(b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R.", &[]);
    let error = StateDict::from_bytes(&file.write(), "weights").unwrap_err();
    assert!(matches!(error, StateDictError::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("the pickle names `posix.system`"), "{error}");
    let twice = pickle("torch\nFloatStorage", 1, 0, &[], &[]);
    let items = &twice[4..twice.len() - 2];
    let twice = [b"\x80\x02}(", items, items, b"u."].concat();
    let text = broken(&model(&twice, &[0; 4]).write(), "PyTorch");
    assert_eq!(text, "`a`: there are two tensors of this name");
    // What refers to itself is no endless loop.
    let file = model(b"\x80\x02}q\0X\x01\0\0\0ah\0s.", &[]);
    let error = StateDict::from_bytes(&file.write(), "weights").unwrap_err();
    assert!(error.to_string().contains("`a`: expected a tensor"), "{error}");
    // Deep objects are no deep stack.
    let deep = [b"\x80\x02)", &[0x85; 1_000_000][..], b"."].concat();
    let error = StateDict::from_bytes(&model(&deep, &[]).write(), "weights").unwrap_err();
    assert!(error.to_string().contains("it holds no dict"), "{error}");
}
