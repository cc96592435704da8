//! Architectures: those that a file claims, and those of modules whose `Debug` shows any text.

use std::collections::BTreeMap;
use std::{fmt, fs};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use flowkit::train::Checkpoint;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::document::text;
use super::stored::{Stored, read};
use super::target::{Target, corpus, fuzz, named};

/// A module of a user's own.
#[derive(Module)]
struct Shown {
    weight: Param<Tensor<1>>,
    #[module(skip)]
    text: String,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn shown(text: &str) -> Shown {
    Shown { weight: Param::from_data([1.0], &Device::flex()), text: text.to_owned() }
}

/// Lines as `Debug` makes them, in any order.
fn debug() -> impl Strategy<Value = String> {
    let parts = [
        "Shown {",
        "weight: Param: {",
        "ParamId {",
        "value: 7,",
        "}",
        "})",
        "],",
        ")",
        "[",
        "(",
        "{",
        "Some(",
        "}: Some(",
        "0x00007f1234567890",
        "RunningState {",
        "id: ParamId {",
        "Tensor {",
        "started: Off,",
        "1.5",
        "-",
        ": ",
        "a: ",
    ];
    let part = prop_oneof![6 => select(parts.to_vec()).prop_map(String::from), 1 => text()];
    (vec((part, prop::bool::weighted(0.8)), 0..60)).prop_map(|parts| {
        let line =
            |(part, ends): &(String, bool)| format!("{part}{}", if *ends { "\n" } else { "" });
        parts.iter().map(line).collect()
    })
}

#[test]
fn debug_of_any_text() {
    let target = Target { name: "debug", file: "debug.txt", expansion: 256 };
    fuzz(
        &target,
        &[],
        debug(),
        |text: &String| text.clone().into_bytes(),
        |input| {
            let text = std::str::from_utf8(input.bytes).unwrap();
            let mut checkpoint = Checkpoint::new([].into()).unwrap();
            checkpoint.insert("model", &shown(text)).unwrap();
            checkpoint.apply("model", shown(text)).unwrap();
            named(checkpoint.apply("model", shown("Shown")));
        },
    );
}

/// A file whose module claims any paths and values: it fits the module that shows just that.
#[test]
fn claimed_architectures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("right.safetensors");
    let mut checkpoint = Checkpoint::new([].into()).unwrap();
    checkpoint.insert("model", &shown("Shown")).unwrap();
    checkpoint.save(&path).unwrap();
    let right = fs::read(&path).unwrap();
    let paths = prop_oneof![2 => text(), 1 => Just(String::new()), 1 => Just("text".to_owned())];
    let values = prop_oneof![text(), Just("Shown".to_owned())];
    let strategy = btree_map(paths, values, 0..4);
    let expected = BTreeMap::from([(String::new(), "Shown".to_owned())]);
    let claim = |claimed: &BTreeMap<String, String>| {
        Stored::of(&right).claiming(&serde_json::to_value(claimed).unwrap())
    };
    let target = Target { name: "architecture", file: "claimed.safetensors", expansion: 256 };
    let mut seeds = vec![claim(&expected), claim(&BTreeMap::new())];
    seeds.extend(corpus("architecture"));
    fuzz(&target, &seeds, strategy, claim, |input| {
        let Some(checkpoint) = named(read(&input)) else { return };
        let fits = checkpoint.architecture("model").is_ok_and(|found| *found == expected);
        assert_eq!(named(checkpoint.apply("model", shown("Shown"))).is_some(), fits);
    });
}
