//! Files that are right and hold what is not read.

use flowkit::state_dict::{StateDict, StateDictError};

use super::file;

/// The text of the error without the path, which it must begin with.
fn refused(name: &str) -> String {
    let path = file(name);
    let error = StateDict::read(&path).unwrap_err();
    assert!(
        matches!(error, StateDictError::Unsupported { .. } | StateDictError::Unrecognized { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("{}: ", path.display()));
    rest.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn arrays_of_other_things_are_named() {
    let npz = "cannot read this npz file: `a`: expected numbers, found";
    for (name, found) in [
        ("refused_object.npz", format!("{npz} values of type `|O`")),
        ("refused_bytes.npz", format!("{npz} values of type `|S2`")),
        ("refused_text.npz", format!("{npz} values of type `<U2`")),
        ("refused_structured.npz", format!("{npz} a structured type")),
        ("refused_complex.npz", format!("{npz} values of type `<c8`")),
        ("refused_date.npz", format!("{npz} values of type `<M8[s]`")),
        ("refused_void.npz", format!("{npz} values of type `|V2`")),
    ] {
        assert_eq!(refused(name), found);
    }
    let found = refused("refused_float8.safetensors");
    assert_eq!(
        found,
        "cannot read this safetensors file: `a`: expected numbers of 8 to 64 bits, \
         found values of type F8_E4M3"
    );
    let most = i64::MAX;
    for (name, format) in [("refused_large.npz", "npz"), ("refused_large.pt", "PyTorch")] {
        let large = format!("`a`: expected integers up to {most}, found {}", 1_u64 << 63);
        assert_eq!(refused(name), format!("cannot read this {format} file: {large}"));
    }
}

#[test]
fn other_packings_are_named() {
    for (name, method) in [("refused_bzip2.npz", 12), ("refused_lzma.npz", 14)] {
        let expected = "`a.npy`: expected method 0 (stored) or 8 (deflated), found";
        assert_eq!(refused(name), format!("cannot read this npz file: {expected} {method}"));
    }
}

#[test]
fn what_is_no_state_dict_is_named() {
    let remedy = "; save the state dict alone: torch.save(model.state_dict(), path)";
    for (name, found) in [
        ("refused_nested.pt", format!("`state`: expected a tensor{remedy}")),
        (
            "refused_float.pt",
            format!("the pickle has the instruction 0x47, which a state dict has not{remedy}"),
        ),
        (
            "refused_model.pt",
            format!(
                "the pickle names `torch.nn.modules.container.Sequential`, \
                 which a state dict does not{remedy}"
            ),
        ),
        (
            "refused_protocol.pt",
            format!("expected a pickle of protocol 2, the default of torch.save{remedy}"),
        ),
        (
            "refused_complex.pt",
            format!(
                "the pickle names `torch.ComplexFloatStorage`, which a state dict does not{remedy}"
            ),
        ),
        ("refused_tensor.pt", format!("it holds no dict{remedy}")),
        ("refused_key.pt", format!("a key is no text{remedy}")),
        (
            "refused_expanded.pt",
            "`a`: the tensors share numbers, and have more than 64 times the bytes of the file"
                .to_owned(),
        ),
        (
            "refused_legacy.pt",
            "it is in the format from before PyTorch 1.6; save it anew: \
             torch.save(torch.load(path, weights_only=True), path)"
                .to_owned(),
        ),
    ] {
        assert_eq!(refused(name), format!("cannot read this PyTorch file: {found}"), "{name}");
    }
    for name in ["refused_sparse.pt", "refused_script.pt"] {
        let text = refused(name);
        assert!(text.contains("the pickle names `") && text.ends_with(remedy), "{text}");
    }
}

#[test]
fn other_files_are_not_recognised() {
    let expected =
        "expected a file of named arrays: npz, safetensors, or .pt of PyTorch 1.6 or later";
    assert_eq!(refused("refused_lone.npy"), expected);
    for bytes in [&b""[..], b"PK", b"a text of more than eight bytes", &[0; 9]] {
        let error = StateDict::from_bytes(bytes, "weights").unwrap_err();
        assert!(matches!(error, StateDictError::Unrecognized { .. }), "{error}");
        assert_eq!(error.to_string(), format!("weights: {expected}"));
    }
}

/// Each reader of one format names it.
#[test]
fn files_of_another_format_are_errors() {
    let formats = [
        ("npz", "stored.npz", StateDict::read_npz as fn(_) -> Result<StateDict, StateDictError>),
        ("safetensors", "numpy.safetensors", StateDict::read_safetensors),
        ("PyTorch", "model.pt", StateDict::read_pytorch),
    ];
    for (format, own, read) in formats {
        for (other, name, _) in formats {
            let found = read(file(name));
            assert_eq!(found.is_ok(), own == name, "{format}: {other}");
            if let Err(error) = found {
                let StateDictError::Malformed { format: found, .. } = error else {
                    panic!("{format}: {other}: {error}")
                };
                assert_eq!(found, format);
            }
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = StateDict::read("no/such/file.npz").unwrap_err();
    assert!(matches!(error, StateDictError::Read { .. }), "{error}");
    assert!(error.to_string().starts_with("cannot read no/such/file.npz: "), "{error}");
}
