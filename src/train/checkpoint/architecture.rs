//! The architecture of a module: the types of its modules, and its fields other than parameters.
//! ```text
//! bijector.2                Coupling
//! bijector.2.law            RationalQuadraticSpline
//! bijector.2.law.bound      3.0
//! bijector.2.kept           First
//! ```
//! It lists a type for each module and a value for each field that is not a parameter (`#[module(skip)]` and
//! constants), by the path of names and indices from the root. It is read from `Debug`, which every burn module
//! implements. A derived `Debug` shows every field, through boxes, `Option`, enums, tuples, `Vec`, and types of other
//! crates. Floats are written with all their digits.
//!
//! | not part of it | since |
//! |---|---|
//! | parameters, and `Flag`s such as whether dropout is on | parameters are in the file; flags are a mode |
//! | plain tensors and devices | a tensor outside a `Param` is never saved; a device is only a place |
//! | the kind of list (tuple, `Vec`, array), boxes and `Some` | they do not change what is computed |
//! | addresses in memory, the order of a hash map | they differ in every process |
//! | a field named `started` | whether a layer has started from data is a state |
//!
//! The probability of dropout is part of it, and so is how a layer starts from data: with another value the run would
//! be a different one.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::Lines;

/// Fields that hold a state and are not part of the architecture.
const STATES: [&str; 1] = ["started"];

/// Types and values by path.
pub(super) type Architecture = BTreeMap<String, String>;

/// A difference between two architectures.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    pub path: String,
    pub left: Option<String>,
    pub right: Option<String>,
    /// Number of further differences.
    pub more: usize,
}

/// The first difference in the order of the paths.
pub(super) fn difference(left: &Architecture, right: &Architecture) -> Option<Difference> {
    let mut paths: Vec<&String> = left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))).collect();
    paths.sort_unstable();
    let mut differ = paths.into_iter().filter(|path| left.get(*path) != right.get(*path));
    let path = differ.next()?;
    let (left, right) = (left.get(path).cloned(), right.get(path).cloned());
    Some(Difference { path: path.clone(), left, right, more: differ.count() })
}

/// The architecture of a module. It does not materialise lazy parameters.
pub(super) fn of(module: &impl Debug) -> Architecture {
    let text = format!("{module:#?}");
    let mut lines = text.lines();
    let mut found = Architecture::new();
    if let Some(first) = lines.next() {
        Value::read(first, &mut lines).enter(String::new(), &mut found);
    }
    found
}

/// A value in the format of `{:#?}`: `Name {`, `Name (`, `[` and so on with a line for each member, or a single line.
enum Value<'a> {
    Line(&'a str),
    Group { name: &'a str, bracket: char, members: Vec<(Option<&'a str>, Self)> },
}

impl<'a> Value<'a> {
    /// The value that begins with the line `first`, from which key and comma are removed.
    fn read(first: &'a str, lines: &mut Lines<'a>) -> Self {
        let Some(bracket) = first.chars().next_back().filter(|last| "{([".contains(*last)) else {
            return Self::Line(first);
        };
        let name = first[..first.len() - 1].trim_end();
        let mut members = Vec::new();
        while let Some(line) = lines.next() {
            let line = line.trim_start();
            let line = line.strip_suffix(',').unwrap_or(line);
            if ["}", ")", "]"].contains(&line) {
                break;
            }
            let (key, value) = match line.split_once(": ").filter(|_| bracket == '{') {
                Some((key, value)) => (Some(key), value),
                None => (None, line),
            };
            let value = Self::read(value, lines);
            if !name.is_empty() && key.is_some_and(|key| STATES.contains(&key)) {
                continue;
            }
            members.push((key, value));
        }
        Self::Group { name, bracket, members }
    }

    /// Adds it under its path.
    fn enter(self, path: String, found: &mut Architecture) {
        let (name, bracket, mut members) = match self {
            Self::Line(line) => {
                found.extend(constant(line).map(|value| (path, value)));
                return;
            }
            Self::Group { name, bracket, members } => (name, bracket, members),
        };
        if name == "Tensor" {
            return;
        }
        if name == "Some" && members.len() == 1 {
            return members.into_iter().for_each(|(_, member)| member.enter(path.clone(), found));
        }
        // A list of numbers is one value.
        let line = |member: &Self| if let Self::Line(line) = member { constant(line) } else { None };
        let number = |line: &String| line.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if name.is_empty() && bracket != '{' {
            let numbers = members.iter().map(|(_, member)| line(member).filter(number));
            let values: Option<Vec<String>> = numbers.collect();
            if let Some(values) = values.filter(|values| !values.is_empty()) {
                found.insert(path, format!("[{}]", values.join(", ")));
                return;
            }
        }
        // The order of a set is no part of it.
        if name.is_empty() && bracket == '{' {
            members.sort_by_key(|(_, member)| line(member));
        }
        if !name.is_empty() {
            found.insert(path.clone(), name.to_owned());
        }
        for (index, (key, member)) in members.into_iter().enumerate() {
            let key = key.map_or_else(|| index.to_string(), str::to_owned);
            member.enter(if path.is_empty() { key } else { format!("{path}.{key}") }, found);
        }
    }
}

/// A value on one line, if it belongs to the architecture.
fn constant(line: &str) -> Option<String> {
    let outside = line.starts_with("Param: ") || line.starts_with("Device<");
    (!outside).then(|| without_addresses(line))
}

/// The digits of a pointer differ in every process.
fn without_addresses(line: &str) -> String {
    let mut parts = line.split("0x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        // Shorter ones are hexadecimal numbers, not addresses.
        let rest = if digits < 8 { part } else { &part[digits..] };
        text.push_str("0x");
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use burn::module::Param;
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "seen by Debug")]
    enum Choice {
        Plain,
        With(f64),
        Named { depth: usize },
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "seen by Debug")]
    struct Whole {
        weight: Param<Tensor<2>>,
        mask: Tensor<1>,
        device: Device,
        choices: (Choice, Box<Choice>, Option<Choice>, Option<Choice>),
        shape: Vec<usize>,
        text: String,
        map: HashMap<u8, bool>,
        set: HashSet<u8>,
        pointer: fn(f64) -> f64,
        unit: (),
        started: Choice,
    }

    fn whole(order: [u8; 3]) -> Whole {
        let device = Device::flex();
        Whole {
            weight: Param::from_data([[1.0]], &device),
            mask: Tensor::from_data([1.0], &device),
            device,
            choices: (Choice::Plain, Box::new(Choice::With(0.1 + 0.2)), Some(Choice::Named { depth: 3 }), None),
            shape: vec![1, 2],
            text: "a: {\nb".into(),
            map: order.map(|key| (key, true)).into_iter().collect(),
            set: order.into_iter().collect(),
            pointer: f64::sqrt,
            unit: (),
            started: if order[0] == 9 { Choice::Plain } else { Choice::With(1.0) },
        }
    }

    #[test]
    fn every_field_has_its_path() {
        let found = of(&whole([7, 8, 9]));
        let expected = [
            ("", "Whole"),
            ("choices.0", "Plain"),
            ("choices.1", "With"),
            ("choices.1.0", "0.30000000000000004"),
            ("choices.2", "Named"),
            ("choices.2.depth", "3"),
            ("choices.3", "None"),
            ("map.7", "true"),
            ("map.8", "true"),
            ("map.9", "true"),
            ("pointer", "0x"),
            ("set.0", "7"),
            ("set.1", "8"),
            ("set.2", "9"),
            ("shape", "[1, 2]"),
            ("text", "\"a: {\\nb\""),
            ("unit", "()"),
        ];
        assert_eq!(found, expected.map(|(path, value)| (path.to_owned(), value.to_owned())).into());
        assert_eq!(found, of(&whole([9, 7, 8])));
    }

    #[test]
    fn the_first_difference_is_named_and_the_others_counted() {
        let (left, mut right) = (of(&whole([1, 2, 3])), of(&whole([1, 2, 3])));
        assert_eq!(difference(&left, &right), None);
        right.insert("unit".into(), "1".into());
        right.insert("shape".into(), "[1, 3]".into());
        right.remove("text");
        let found = difference(&left, &right).unwrap();
        let (path, left, right) = ("shape".into(), Some("[1, 2]".into()), Some("[1, 3]".into()));
        assert_eq!(found, Difference { path, left, right, more: 2 });
    }
}
