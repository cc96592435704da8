//! Configurations from JSON, as a program reads them from its settings or from a checkpoint.

use flowkit::train::TrainerConfig;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::configurations::{Example, layers, models, networks, parts, plain};
use super::document;
use super::target::{Target, corpus, fuzz};
use super::{bytes, bytes::Edit};

/// Largest size for which a module is made: it has layers as many as its configuration says.
const MOST: u64 = 16;

fn kinds() -> Vec<Example> {
    let trainer = plain("TrainerConfig", TrainerConfig::new(), &[], TrainerConfig::validate);
    let lists = [layers(), parts(), networks(), models(), vec![trainer]];
    lists.into_iter().flatten().collect()
}

/// The example with small sizes, so that it is built.
fn small(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_u64() && !is_small(value) => Value::from(4),
        Value::Array(members) => members.iter().map(small).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), small(member))).collect()
        }
        value => value.clone(),
    }
}

/// A refusal says something.
fn told<T>(result: Result<T, String>) -> Option<T> {
    result.inspect_err(|text| assert!(!text.trim().is_empty(), "an error without a text")).ok()
}

/// Whether every whole number is small; those of levels may be 256.
fn is_small(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64().is_none_or(|size| size <= MOST || size == 256),
        Value::Array(members) => members.len() <= 8 && members.iter().all(is_small),
        Value::Object(members) => members.values().all(is_small),
        _ => true,
    }
}

/// An input is a name of a type, then its JSON.
fn check(kinds: &[Example], input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').expect("the line of the name");
    let (name, json) = (&input[..end], &input[end + 1..]);
    let kind = kinds.iter().find(|kind| kind.name.as_bytes() == name).expect("a type of the list");
    let Some(config) = told((kind.read)(json)) else { return };
    if told(config.num_params()).is_some() && is_small(&config.json()) {
        std::hint::black_box(config.build());
    }
}

fn named_input(name: &str, json: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", json].concat()
}

#[test]
fn configurations() {
    let kinds = kinds();
    let documents: Vec<Value> = kinds.iter().map(|kind| small(&kind.json)).collect();
    let texts: Vec<Vec<u8>> = documents.iter().map(|json| json.to_string().into_bytes()).collect();
    let mut seeds: Vec<Vec<u8>> =
        kinds.iter().zip(&texts).map(|(kind, text)| named_input(kind.name, text)).collect();
    seeds.extend(corpus("config"));
    let target = Target { name: "config", file: "config.txt", expansion: 256 };
    let strategy = (
        any::<Index>(),
        document::edits(3),
        prop_oneof![6 => bytes::edits(0), 1 => bytes::edits(3)],
    );
    let build = |(kind, edits, raw): &(Index, Vec<document::Edit>, Vec<Edit>)| {
        let at = kind.index(kinds.len());
        let json = document::edited(&documents[at], edits, &documents).to_string();
        named_input(kinds[at].name, &bytes::edited(json.as_bytes(), raw, &texts))
    };
    fuzz(&target, &seeds, strategy, build, |input| check(&kinds, input.bytes));
}
