//! Files of named arrays, in each of their formats.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use flowkit::state_dict::{Array, StateDict};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::patches::{Template, fuzz_in_memory};
use super::stored::{self, Stored};
use super::target::{DEFLATE, Input, Target, corpus, fuzz, named, seed};
use super::zip::{Contents, Places, contents};
use super::{archive, npy, pickle};

/// Names and contents of the entries of an archive.
type Entries = Vec<(String, Vec<u8>)>;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("state_dict/files");
    fs::read(folder.join(name)).unwrap()
}

/// Some of the entries of a file.
fn entries(name: &str, of: &[&str]) -> Entries {
    let mut entries = contents(&file(name));
    entries.retain(|(name, _)| of.iter().any(|own| name == own));
    assert_eq!(entries.len(), of.len());
    entries
}

static NPZ: LazyLock<Vec<Entries>> = LazyLock::new(|| {
    vec![
        entries("stored.npz", &["f4/big.npy"]),
        entries("stored.npz", &["fortran_big.npy", "u1/little.npy"]),
        entries("stored.npz", &["f2/little.npy", "bool.npy", "scalar.npy"]),
        entries("versions.npz", &["version1.npy", "version3.npy"]),
    ]
});

static PYTORCH: LazyLock<Vec<Entries>> = LazyLock::new(|| {
    let of = |root: &str, of: &[&str]| {
        let names: Vec<String> = of.iter().map(|name| format!("{root}/{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        entries(&format!("{root}.pt"), &names)
    };
    vec![
        of("small", &["data.pkl", "byteorder", "data/0", "data/1"]),
        of("none", &["data.pkl", "byteorder"]),
        of("refused_expanded", &["data.pkl", "data/0"]),
    ]
});

static SAFETENSORS: LazyLock<Vec<Stored>> = LazyLock::new(|| {
    ["numpy.safetensors", "bfloat16.safetensors"].map(|name| Stored::of(&file(name))).to_vec()
});

const SHARED: usize = 256;
/// Bytes that Deflate expands to, of one byte each, which becomes 8.
const WIDENED: usize = 3 * DEFLATE;

/// Every array has as many values as its shape says.
fn ask(state: &StateDict) {
    for name in state.names() {
        let array = state.get(name).unwrap();
        assert_eq!(array.shape().iter().product::<usize>(), array.values().len());
    }
}

fn in_memory(bytes: &[u8]) {
    if let Some(state) = named(StateDict::from_bytes(bytes, "weights")) {
        ask(&state);
    }
}

/// A file that can be read is written again as it was understood. Only a few are: a file waits for
/// the disk.
fn round_trip(state: &StateDict, folder: &Path) {
    let text = |array: &Array| format!("{array:?}");
    let copy = folder.join("copy");
    for format in [StateDict::write_npz, StateDict::write_safetensors] {
        if named(format(state, &copy)).is_none() {
            continue;
        }
        let read = StateDict::read(&copy).unwrap();
        assert!(read.names().eq(state.names()));
        for name in read.names() {
            // As texts, in which a NaN is like another.
            assert_eq!(text(read.get(name).unwrap()), text(state.get(name).unwrap()));
        }
        fs::remove_file(&copy).unwrap();
    }
}

fn check(input: Input<'_>) {
    let read = named(StateDict::read(input.path));
    let mut others = vec![];
    others.extend(named(StateDict::read_npz(input.path)));
    others.extend(named(StateDict::read_safetensors(input.path)));
    others.extend(named(StateDict::read_pytorch(input.path)));
    others.iter().for_each(ask);
    let Some(state) = read else { return };
    ask(&state);
    assert!(!others.is_empty(), "the format that the first bytes say is not that of the file");
    if crc32fast::hash(input.bytes).is_multiple_of(32) {
        round_trip(&state, input.path.parent().unwrap());
    }
}

fn npz_edits() -> impl Strategy<Value = archive::Edits<npy::Edit>> {
    archive::edits(npy::edit())
}

fn pytorch_edits() -> impl Strategy<Value = archive::Edits<pickle::Edit>> {
    archive::edits(pickle::edit())
}

/// The files as they are.
fn whole(names: &[&str], folder: &str) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = names.iter().map(|name| file(name)).collect();
    seeds.extend(corpus(folder));
    seeds
}

#[test]
fn npz() {
    let seeds = whole(&["stored.npz", "deflated.npz", "none.npz", "refused_object.npz"], "npz");
    let target = Target { name: "npz", file: "weights.npz", expansion: WIDENED };
    let strategy = (any::<prop::sample::Index>(), npz_edits());
    let build = |(seed, edits): &(prop::sample::Index, _)| {
        archive::edited(&NPZ[seed.index(NPZ.len())], edits, npy::edited)
    };
    fuzz(&target, &seeds, strategy, build, check);
}

#[test]
fn pytorch() {
    let names = ["model.pt", "tensors.pt", "refused_legacy.pt", "refused_script.pt"];
    let target = Target { name: "pytorch", file: "weights.pt", expansion: SHARED };
    let strategy = (any::<prop::sample::Index>(), pytorch_edits());
    let build = |(seed, edits): &(prop::sample::Index, _)| {
        archive::edited(&PYTORCH[seed.index(PYTORCH.len())], edits, pickle::edited)
    };
    fuzz(&target, &whole(&names, "pytorch"), strategy, build, check);
}

#[test]
fn safetensors() {
    let seeds = whole(&["numpy.safetensors", "refused_float8.safetensors"], "safetensors");
    let target = Target { name: "safetensors", file: "weights", expansion: SHARED };
    let build = |edits: &_| stored::edited(&SAFETENSORS, edits);
    fuzz(&target, &seeds, stored::edits(), build, check);
}

/// Files with a few edits, of which each is patched many times.
fn templates<S: Strategy>(
    strategy: S,
    build: impl Fn(&S::Value, usize) -> Template,
) -> Vec<Template> {
    const COUNT: usize = 1000;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed() as u8; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let value = |i| build(&strategy.new_tree(&mut runner).unwrap().current(), i);
    (0..COUNT).map(value).collect()
}

#[test]
fn npz_in_memory() {
    let templates = templates(npz_edits(), |edits, i| {
        let zip = archive::claimed(&NPZ[i % NPZ.len()], edits, npy::edited);
        let (bytes, places) = zip.write_with_places();
        Template { bytes, places }
    });
    fuzz_in_memory("npz_in_memory", WIDENED, &templates, in_memory);
}

#[test]
fn pytorch_in_memory() {
    let templates = templates(pytorch_edits(), |edits, i| {
        let zip = archive::claimed(&PYTORCH[i % PYTORCH.len()], edits, pickle::edited);
        let (bytes, places) = zip.write_with_places();
        Template { bytes, places }
    });
    fuzz_in_memory("pytorch_in_memory", SHARED, &templates, in_memory);
}

#[test]
fn safetensors_in_memory() {
    let array = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes);
    let arrays = [
        ("half", array(Dtype::F16, &[2, 2], &[0; 8]).unwrap()),
        ("truth", array(Dtype::BOOL, &[2], &[0, 1]).unwrap()),
        ("count", array(Dtype::U64, &[], &[0; 8]).unwrap()),
    ];
    let small = [Stored::of(&safetensors::serialize(arrays, None).unwrap())];
    let templates = templates(stored::edits(), |edits, _| {
        let bytes = stored::edited(&small, edits);
        let range = 8.min(bytes.len())..bytes.len();
        let contents = vec![Contents { range, checksums: vec![], is_packed: false }];
        let fields = if bytes.len() < 8 { vec![] } else { vec![(0, 8)] };
        Template { bytes, places: Places { fields, contents } }
    });
    fuzz_in_memory("safetensors_in_memory", SHARED, &templates, in_memory);
}
