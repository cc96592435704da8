//! The architecture of a module: the types of its modules, and its fields other than parameters.
//! ```text
//! bijector.2                Coupling
//! bijector.2.law            RationalQuadraticSpline
//! bijector.2.law.bound      3.0
//! bijector.2.identity       First
//! ```
//! It lists, by path, a type for each module and a value for each field that is not a parameter
//! (`#[module(skip)]` and constants). A path consists of the names and indices from the root. The
//! architecture is read from `Debug`, which every burn module implements. A derived `Debug` shows
//! every field, through boxes, `Option`, enums, tuples, `Vec`, and types of other crates. Floats
//! are written with all their digits.
//!
//! | not part of it | because |
//! |---|---|
//! | parameters, and `Flag`s such as whether dropout is on | parameters are in the file; flags are a mode |
//! | plain tensors and devices | a tensor outside a `Param` is never saved; a device is only a place |
//! | the kind of list (tuple, `Vec`, array), boxes and `Some` | they do not change what is computed |
//! | a value that is an address in memory, the order of a hash map | they differ in every process |
//! | identities (`ParamId`), and entries of a map under one | they are random |
//! | what is inside burn's `RunningState` | its value is in the file, like that of a parameter |
//! | a field named `started` | whether a layer was initialised from data is a state |
//!
//! Quoted text is compared as it is, and so is each line of a handwritten `Debug`.
//!
//! `Debug` sets two limits. It does not show a const generic, so `Block<2>` and `Block<3>` with
//! equal fields are one architecture: keep such a number in a field too. And it does show shared
//! counters, such as an `Arc<AtomicUsize>`, whose value would then have to equal that of the file.
//! Such a state belongs in a field named `started`, or must be omitted from `Debug`.
//!
//! The probability of dropout is part of the architecture, and so is how a layer is initialised
//! from data: another value would give a different run.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::Lines;

/// Fields that hold a state and are not part of the architecture.
const STATES: [&str; 1] = ["started"];

/// The type of identities, random in every process.
const IDENTITY: &str = "ParamId";

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

/// The first difference, in the order of the paths.
pub(super) fn difference(left: &Architecture, right: &Architecture) -> Option<Difference> {
    let mut paths: Vec<&String> =
        left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))).collect();
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
        Value::read(first, &mut lines).0.enter(String::new(), &mut found);
    }
    found
}

/// A value in the format of `{:#?}`: `Name {`, `Name (`, `[` and so on with a line for each member,
/// or a single line.
enum Value<'a> {
    Line(&'a str),
    Group { name: &'a str, bracket: char, members: Vec<(Option<String>, Self)> },
}

impl<'a> Value<'a> {
    /// Reads the value that begins with the line `first`, from which key and comma are removed. If
    /// it is the key of a map and has several lines, the first line of the value under the key is
    /// returned too.
    fn read(first: &'a str, lines: &mut Lines<'a>) -> (Self, Option<&'a str>) {
        let Some(bracket) = first.chars().next_back().filter(|last| "{([".contains(*last)) else {
            return (Self::Line(first), None);
        };
        let name = first[..first.len() - 1].trim_end();
        let (mut members, mut under) = (Vec::new(), None);
        while let Some(line) = lines.next() {
            let line = line.trim_start();
            let line = line.strip_suffix(',').unwrap_or(line);
            let closed = line.strip_prefix(['}', ')', ']']);
            if let Some(rest) = closed.filter(|rest| rest.is_empty() || rest.starts_with(": ")) {
                under = rest.strip_prefix(": ");
                break;
            }
            let (key, value) = match line.split_once(": ").filter(|_| bracket == '{') {
                Some((key, value)) => (Some(key.to_owned()), value),
                None => (None, line),
            };
            let (key, value) = match Self::read(value, lines) {
                (value, None) => (key, value),
                (key, Some(first)) => {
                    let value = Self::read(first, lines).0;
                    if key.has_identity() {
                        continue;
                    }
                    (Some(key.text()), value)
                }
            };
            if !name.is_empty() && key.as_deref().is_some_and(|key| STATES.contains(&key)) {
                continue;
            }
            members.push((key, value));
        }
        (Self::Group { name, bracket, members }, under)
    }

    fn is_identity(&self) -> bool {
        matches!(self, Self::Group { name, .. } if *name == IDENTITY)
    }

    fn has_identity(&self) -> bool {
        let Self::Group { members, .. } = self else { return false };
        self.is_identity() || members.iter().any(|(_, member)| member.has_identity())
    }

    /// The value on one line.
    fn text(&self) -> String {
        let (name, bracket, members) = match self {
            Self::Line(line) => return (*line).to_owned(),
            Self::Group { name, bracket, members } => (name, bracket, members),
        };
        let member = |(key, member): &(Option<String>, Self)| match key {
            Some(key) => format!("{key}: {}", member.text()),
            None => member.text(),
        };
        let members: Vec<String> = members.iter().map(member).collect();
        let close = ["}", ")", "]"]["{([".find(*bracket).unwrap_or_default()];
        format!("{name}{bracket}{}{close}", members.join(", "))
    }

    /// Adds the value under its path.
    fn enter(self, path: String, found: &mut Architecture) {
        let (name, bracket, mut members) = match self {
            Self::Line(line) => {
                found.extend(constant(line).map(|value| (path, value)));
                return;
            }
            Self::Group { name, bracket, members } => (name, bracket, members),
        };
        if name == "Tensor" || name == IDENTITY {
            return;
        }
        // A parameter that burn holds outside a `Param`.
        let is_id = |(key, member): &(Option<String>, Self)| {
            key.as_deref() == Some("id") && member.is_identity()
        };
        if name == "RunningState" && members.iter().any(is_id) {
            found.insert(path, name.to_owned());
            return;
        }
        if name == "Some" && members.len() == 1 {
            return members.into_iter().for_each(|(_, member)| member.enter(path.clone(), found));
        }
        // A list of numbers is a single value.
        let line =
            |member: &Self| if let Self::Line(line) = member { constant(line) } else { None };
        let number =
            |line: &String| line.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if name.is_empty() && bracket != '{' {
            let numbers = members.iter().map(|(_, member)| line(member).filter(number));
            let values: Option<Vec<String>> = numbers.collect();
            if let Some(values) = values.filter(|values| !values.is_empty()) {
                found.insert(path, format!("[{}]", values.join(", ")));
                return;
            }
        }
        // The order of a set does not matter.
        if name.is_empty() && bracket == '{' {
            members.sort_by_key(|(_, member)| line(member));
        }
        if !name.is_empty() {
            found.insert(path.clone(), name.to_owned());
        }
        for (index, (key, member)) in members.into_iter().enumerate() {
            let key = key.unwrap_or_else(|| index.to_string());
            member.enter(if path.is_empty() { key } else { format!("{path}.{key}") }, found);
        }
    }
}

/// A value on one line, if it belongs to the architecture.
fn constant(line: &str) -> Option<String> {
    let outside = line.starts_with("Param: ")
        || line.starts_with("Device<")
        || line.starts_with("ParamId { value: ");
    (!outside).then(|| if is_address(line) { "0x".to_owned() } else { line.to_owned() })
}

/// The digits of a pointer on a line of its own differ in every process. Shorter numbers are not
/// addresses.
fn is_address(line: &str) -> bool {
    let digits = line.strip_prefix("0x").unwrap_or_default();
    digits.len() >= 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use burn::module::{Param, ParamId};
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
            choices: (
                Choice::Plain,
                Box::new(Choice::With(0.1 + 0.2)),
                Some(Choice::Named { depth: 3 }),
                None,
            ),
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

    #[derive(Debug)]
    #[expect(dead_code, reason = "seen by Debug")]
    struct Named {
        id: ParamId,
        ids: Vec<ParamId>,
        perhaps: Option<ParamId>,
        by_id: HashMap<ParamId, u8>,
        by_pair: HashMap<(u8, Option<bool>), Choice>,
        last: u8,
    }

    fn named(first: u64) -> Named {
        let ids: Vec<ParamId> = (first..first + 3).map(ParamId::from).collect();
        let pairs = [((1, None), Choice::With(2.5)), ((3, Some(true)), Choice::Plain)];
        Named {
            id: ids[0],
            perhaps: Some(ids[1]),
            by_id: ids.iter().map(|id| (*id, 4)).collect(),
            ids,
            by_pair: pairs.into_iter().collect(),
            last: 6,
        }
    }

    #[test]
    fn identities_are_left_out_and_long_keys_are_read() {
        let found = of(&named(17));
        let expected = [
            ("", "Named"),
            ("by_pair.(1, None)", "With"),
            ("by_pair.(1, None).0", "2.5"),
            ("by_pair.(3, Some(true))", "Plain"),
            ("last", "6"),
        ];
        assert_eq!(found, expected.map(|(path, value)| (path.to_owned(), value.to_owned())).into());
        assert_eq!(found, of(&named(170_000)));
    }

    /// Only a value that is an address loses its digits.
    #[test]
    fn digits_of_a_text_count() {
        let value = |text: &str| of(&(text, true)).remove("0").unwrap();
        for text in ["0x1234567890", "0x1234567891", "at 0x1234567890, moved"] {
            assert_eq!(value(text), format!("{text:?}"));
        }
        let shown = |text: &'static str| of(&(format_args!("{text}"), true)).remove("0").unwrap();
        assert_eq!(shown("0x00007f1234567890"), "0x");
        for text in ["0xabcdef", "0x1234567890z", "seed 0x1234567890", "0x"] {
            assert_eq!(shown(text), text);
        }
    }
}
