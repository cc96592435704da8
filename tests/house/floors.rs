//! Floors: a file imports from its own room and from the floors below, and rooms of one floor form
//! no ring.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::{files, root};

/// The rooms of `src`, from the ground up. A room is a folder of `src`, with the file of its name.
///
/// `data` is below `train`, which loads batches, and `model` above it: a preset is a model and its
/// training.
const FLOORS: [&[&str]; 13] = [
    &["config", "counted", "tensor", "random", "whole_file"],
    &["error"],
    &["context"],
    &["bijector", "kernel"],
    &["law", "elementwise", "reshape", "linear"],
    &["conditioner"],
    &["coupling", "autoregressive", "prior", "encoder"],
    &["any_layer"],
    &["flow"],
    &["quantize", "data", "importance", "calibration", "state_dict"],
    &["train"],
    &["model"],
    &["testing"],
];

/// Files of the root that export rooms or gather their errors, and are in none.
const DOORS: [&str; 3] = ["lib", "prelude", "result"];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Where a file imports what: the first name after `crate::`, with its line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    line: usize,
    name: String,
}

/// The imports of a file whose module has the path `module`, such as `["law", "affine"]`: those
/// that begin with `crate`, alone or in a group, and those that reach the root by `super`. Macros'
/// `$crate` is none, and neither is what stands in comments.
fn imports(text: &str, module: &[&str]) -> Vec<Import> {
    let code: Vec<&str> =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let to_root = "super::".repeat(module.len());
    let mut found = Vec::new();
    for start in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + start.len()..];
            // The language puts an exported macro at the root, wherever it is written.
            if rest[name(rest).len()..].starts_with('!') {
                continue;
            }
            let names = match rest.strip_prefix('{') {
                Some(group) => first_names(group),
                None => vec![name(rest)],
            };
            found.extend(
                names.into_iter().filter(|name| !name.is_empty()).map(|name| Import { line, name }),
            );
        }
    }
    found.sort();
    found
}

/// The name that a text begins with.
fn name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of each member of a group of imports, whose brace has been opened.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut members, mut start) = (1, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            members.push(name(&group[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    members
}

/// The module of a file of `src`: `law/affine.rs` is `["law", "affine"]`, `law/mod.rs` is
/// `["law"]`.
fn module(path: &Path) -> Vec<String> {
    let own = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut parts: Vec<String> = own.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// All imports from another room: file, line, own room, other room or name of the root.
fn across() -> Vec<(String, usize, String, String)> {
    let mut found = Vec::new();
    for (path, text) in files("src", "rs") {
        let module = module(&path);
        if DOORS.contains(&module[0].as_str()) {
            continue;
        }
        let parts: Vec<&str> = module.iter().map(String::as_str).collect();
        for Import { line, name } in imports(&text, &parts) {
            if name != module[0] {
                let file = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((file, line, module[0].clone(), name));
            }
        }
    }
    found
}

#[test]
fn rooms_are_on_a_floor() {
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let room = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            DOORS.contains(&room.as_str()) || floor(&room).is_some(),
            "`{room}` is on no floor"
        );
    }
    for room in FLOORS.concat() {
        let [folder, file] =
            [root().join("src").join(room), root().join("src").join(format!("{room}.rs"))];
        assert!(folder.is_dir() || file.is_file(), "there is no room `{room}`");
    }
}

#[test]
fn imports_go_down() {
    let imports = across();
    assert!(imports.len() > 300, "{} imports were found", imports.len());
    let mut upward = Vec::new();
    for (file, line, own, other) in imports {
        match (floor(&own), floor(&other)) {
            (Some(below), Some(above)) if above > below => {
                upward.push(format!(
                    "{file}:{line}: `{own}` (floor {below}) imports `{other}` (floor {above})"
                ));
            }
            (_, None) => upward.push(format!(
                "{file}:{line}: `{other}` is imported from the root, not from its room"
            )),
            _ => {}
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

/// Since imports go down, a ring can only be among the rooms of one floor.
#[test]
fn rooms_form_no_ring() {
    let mut edges: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (file, line, own, other) in across() {
        edges.entry(own).or_default().entry(other).or_insert(format!("{file}:{line}"));
    }
    // A room without an import from a room that is left can be taken away; a ring stays.
    let mut left: BTreeSet<&String> = edges.keys().collect();
    loop {
        let inner = |room: &&String| edges[*room].keys().all(|other| !left.contains(other));
        let free: Vec<&String> = left.iter().copied().filter(inner).collect();
        if free.is_empty() {
            break;
        }
        left.retain(|room| !free.contains(room));
    }
    let ring: Vec<String> = left
        .iter()
        .flat_map(|room| {
            edges[*room]
                .iter()
                .filter(|(other, _)| left.contains(other))
                .map(move |edge| (room, edge))
        })
        .map(|(room, (other, at))| format!("{at}: `{room}` imports `{other}`"))
        .collect();
    assert!(ring.is_empty(), "{}", ring.join("\n"));
}

#[test]
fn imports_are_found() {
    let text = "
use crate::error::{ConfigError, ShapeError};
use crate::{context::Context, law::{self, Law}, flow};
// use crate::train::Trainer;
fn f(x: &crate::bijector::Site) { $crate::macros!(); pub(crate) fn g() {} }
use super::super::reshape::Swap;
";
    let found = imports(text, &["law", "affine"]);
    let expected =
        [(2, "error"), (3, "context"), (3, "flow"), (3, "law"), (5, "bijector"), (6, "reshape")];
    let found: Vec<(usize, &str)> =
        found.iter().map(|import| (import.line, import.name.as_str())).collect();
    assert_eq!(found, expected);
}
