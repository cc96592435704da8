//! Edits of JSON documents, also of those inside their strings.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// One change of a node, which is a value at any depth.
#[derive(Clone, Debug)]
pub enum Edit {
    Replace {
        node: Index,
        by: Value,
    },
    /// By a node of any document of the corpus.
    Borrow {
        node: Index,
        document: Index,
        from: Index,
    },
    /// Of a list or an object.
    Remove {
        node: Index,
        member: Index,
    },
    Repeat {
        node: Index,
        member: Index,
        name: String,
    },
    Rename {
        node: Index,
        member: Index,
        name: String,
    },
}

/// Visits every node, parents first. A string that holds a list or an object is visited as that.
fn visit(value: &mut Value, see: &mut impl FnMut(&mut Value)) {
    see(value);
    match value {
        Value::Array(members) => members.iter_mut().for_each(|member| visit(member, see)),
        Value::Object(members) => members.values_mut().for_each(|member| visit(member, see)),
        Value::String(text) if text.starts_with(['{', '[']) => {
            if let Ok(mut inner) = serde_json::from_str::<Value>(text) {
                let before = inner.clone();
                visit(&mut inner, see);
                if inner != before {
                    *text = inner.to_string();
                }
            }
        }
        _ => {}
    }
}

fn count(value: &Value) -> usize {
    let mut nodes = 0;
    visit(&mut value.clone(), &mut |_| nodes += 1);
    nodes
}

/// Changes one node; only the first visit counts, as the change itself is visited too.
fn change(value: &mut Value, node: Index, change: impl FnOnce(&mut Value)) {
    let (at, mut seen, mut change) = (node.index(count(value)), 0, Some(change));
    visit(value, &mut |node| {
        if seen == at
            && let Some(change) = change.take()
        {
            change(node);
        }
        seen += 1;
    });
}

fn node(value: &Value, node: Index) -> Value {
    let mut found = Value::Null;
    change(&mut value.clone(), node, |node| found = node.clone());
    found
}

/// The key of a member of an object.
fn key(members: &Map<String, Value>, member: Index) -> String {
    members.keys().nth(member.index(members.len())).expect("within").clone()
}

impl Edit {
    fn apply(&self, value: &mut Value, documents: &[Value]) {
        match self {
            Self::Replace { node, by } => change(value, *node, |node| *node = by.clone()),
            Self::Borrow { node: at, document, from } => {
                let found = node(&documents[document.index(documents.len())], *from);
                change(value, *at, |node| *node = found);
            }
            Self::Remove { node, member } => change(value, *node, |node| match node {
                Value::Array(members) if !members.is_empty() => {
                    drop(members.remove(member.index(members.len())))
                }
                Value::Object(members) if !members.is_empty() => {
                    drop(members.remove(&key(members, *member)))
                }
                _ => {}
            }),
            Self::Repeat { node, member, name } => change(value, *node, |node| match node {
                Value::Array(members) if !members.is_empty() => {
                    members.push(members[member.index(members.len())].clone())
                }
                Value::Object(members) if !members.is_empty() => {
                    let found = members[&key(members, *member)].clone();
                    members.insert(name.clone(), found);
                }
                _ => {}
            }),
            Self::Rename { node, member, name } => change(value, *node, |node| {
                if let Value::Object(members) = node
                    && !members.is_empty()
                {
                    let found = members.remove(&key(members, *member)).expect("it is there");
                    members.insert(name.clone(), found);
                }
            }),
        }
    }
}

/// All edits, one after another. `documents` must not be empty.
pub fn edited(value: &Value, edits: &[Edit], documents: &[Value]) -> Value {
    let mut value = value.clone();
    edits.iter().for_each(|edit| edit.apply(&mut value, documents));
    value
}

/// Any text: names that a format knows, and letters of all scripts.
pub fn text() -> impl Strategy<Value = String> {
    let known = [
        "",
        ".",
        "..",
        "__metadata__",
        "flowkit.format",
        "flowkit.crc32",
        "model",
        "model.",
        "0",
        "None",
        "{",
        "a: (",
    ];
    prop_oneof![
        2 => select(known.map(String::from).to_vec()),
        2 => vec(any::<char>(), 0..12).prop_map(String::from_iter),
        1 => (any::<char>(), 0usize..3000)
            .prop_map(|(letter, n)| String::from_iter(std::iter::repeat_n(letter, n))),
    ]
}

/// A leaf, most of them numbers: ends of the ranges that types of numbers have, and small ones.
fn leaf() -> impl Strategy<Value = Value> {
    let integers = [0, 1, 2, 3, 255, 65_536, 1 << 31, 1 << 32, 1 << 53, 1 << 62, 1 << 63, u64::MAX];
    let floats =
        [0.0, -0.0, 5e-324, 1e-38, 1e-8, 0.499, 0.999, 1.5, 1e20, 3.5e38, f64::MAX, -1.0, -1e300];
    let plain =
        [Value::Null, json!(true), json!(false), json!([]), json!({}), json!([0]), json!([1, 2])];
    let deep = (0..150).fold(json!(1), |inner, _| json!([inner]));
    prop_oneof![
        4 => select(integers.to_vec()).prop_map(Value::from),
        3 => (0u64..20).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        3 => select(floats.to_vec()).prop_map(Value::from),
        2 => text().prop_map(Value::from),
        3 => select(plain.to_vec()),
        1 => Just(deep),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let node = any::<Index>;
    prop_oneof![
        5 => (node(), leaf()).prop_map(|(node, by)| Edit::Replace { node, by }),
        3 => (node(), node(), node())
            .prop_map(|(node, document, from)| Edit::Borrow { node, document, from }),
        1 => (node(), node()).prop_map(|(node, member)| Edit::Remove { node, member }),
        1 => (node(), node(), text())
            .prop_map(|(node, member, name)| Edit::Repeat { node, member, name }),
        1 => (node(), node(), text())
            .prop_map(|(node, member, name)| Edit::Rename { node, member, name }),
    ]
}

/// At most `most` edits.
pub fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    vec(edit(), 0..=most)
}
