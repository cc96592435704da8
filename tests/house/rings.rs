//! Rings of files: no file of a room reaches itself through what it and others import.

use std::collections::{BTreeMap, BTreeSet};

use crate::{files, root};

/// Rooms that are not searched: the checks of `testing`, which form one family.
const NOT_SEARCHED: [&str; 1] = ["testing"];

/// The trait of bijectors, with what its methods and its driver mention and what mentions it.
const TRAIT: [&str; 4] = ["bijector", "bijector::drive", "bijector::replay", "bijector::visit"];

/// The code of a file without comments, tests and re-exports.
fn code(text: &str) -> String {
    let lines: Vec<&str> =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = lines.join("\n");
    code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// The paths of a `use` with its groups taken apart.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((start, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split_whitespace().collect()];
    };
    let group = &group[..group.rfind('}').unwrap_or(group.len())];
    let (mut depth, mut members) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            members.push(String::new());
        } else if let Some(last) = members.last_mut() {
            last.push(c);
        }
    }
    let members = members.iter().filter(|member| !member.trim().is_empty());
    members
        .flat_map(|member| leaves(member))
        .map(|rest| format!("{}{rest}", start.trim()))
        .collect()
}

/// The paths that a file names, from the root of the crate: those of its `use` lines and those that
/// begin with `crate::` elsewhere. A path that begins with another name may be one of the file's
/// own folder. A folder that re-exports its files does not import them.
fn paths(text: &str, module: &[&str]) -> Vec<Vec<String>> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap_or_default();
        if before.trim().is_empty() {
            found.extend(leaves(code[at + 4..].split(';').next().unwrap_or_default()));
        }
    }
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '$' | ':')) {
            let letters = code[at..].chars();
            let path: String =
                letters.take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
            // A group is read with its `use`.
            if !path.ends_with(':') {
                found.push(path);
            }
        }
    }
    found.iter().filter_map(|path| absolute(path, module)).collect()
}

/// A path from the root of the crate.
fn absolute(path: &str, module: &[&str]) -> Option<Vec<String>> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut from = match parts[0] {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len() - 1].to_vec(),
        _ => {
            let own = module.iter().copied().chain(parts);
            return Some(own.map(str::to_owned).collect());
        }
    };
    parts.remove(0);
    while parts.first() == Some(&"super") {
        parts.remove(0);
        from.pop()?;
    }
    Some(from.into_iter().chain(parts).map(str::to_owned).collect())
}

/// The names that a file re-exports, each with the path that it stands for.
fn exported(text: &str, module: &[&str]) -> BTreeMap<String, Vec<String>> {
    let code = code(text);
    let mut found = BTreeMap::new();
    for line_start in ["pub use ", "pub(crate) use ", "pub(super) use "] {
        for (at, _) in code.match_indices(line_start) {
            let tree = code[at + line_start.len()..].split(';').next().unwrap_or_default();
            for path in leaves(tree) {
                let Some(path) = absolute(&path, module) else { continue };
                if let Some(name) = path.last().cloned() {
                    found.insert(name, path);
                }
            }
        }
    }
    found
}

/// The file of a path: its longest beginning that is one, and where that file re-exports the rest,
/// the file that has it.
fn file_of(path: &[String], files: &BTreeMap<String, Exports>) -> Option<String> {
    let n = (1..=path.len()).rev().find(|n| files.contains_key(&path[..*n].join("::")))?;
    let file = path[..n].join("::");
    let target = path.get(n).and_then(|name| files[&file].get(name));
    match target {
        Some(target) if *target != path[..n + 1] => file_of(target, files).or(Some(file)),
        _ => Some(file),
    }
}

/// Whether a file uses a name besides re-exporting it.
fn is_used(text: &str, word: &str) -> bool {
    let code = code(text);
    let declares = |statement: &&str| ["use ", "mod "].iter().any(|word| statement.contains(word));
    let bodies = code.split(';').filter(|statement| !declares(statement));
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    bodies.into_iter().any(|body| body.split(|c| !letter(c)).any(|found| found == word))
}

/// What a file re-exports.
type Exports = BTreeMap<String, Vec<String>>;

/// What each file imports.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let mut modules = BTreeMap::new();
    for (path, text) in files("src", "rs") {
        let own = path.strip_prefix(root().join("src")).unwrap().with_extension("");
        let mut parts: Vec<&str> = own.iter().map(|part| part.to_str().unwrap()).collect();
        parts.pop_if(|last| *last == "mod");
        if !["lib", "prelude", "result"].contains(&parts[0]) && !NOT_SEARCHED.contains(&parts[0]) {
            modules.insert(parts.join("::"), text);
        }
    }
    let exports: BTreeMap<String, Exports> = modules
        .iter()
        .map(|(name, text)| {
            (name.clone(), exported(text, &name.split("::").collect::<Vec<&str>>()))
        })
        .collect();
    let imports = |(name, text): (&String, &String)| {
        let parts: Vec<&str> = name.split("::").collect();
        let used = exports[name].iter().filter(|(word, _)| is_used(text, word));
        let named = paths(text, &parts).into_iter().chain(used.map(|(_, path)| path.clone()));
        let files = named.filter_map(|path| file_of(&path, &exports));
        (name.clone(), files.filter(|file| file != name).collect())
    };
    modules.iter().map(imports).collect()
}

/// The files that can be reached from a file.
fn reach<'a>(from: &'a str, edges: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(name) = open.pop() {
        open.extend(edges[name].iter().filter(|next| found.insert(*next)).map(String::as_str));
    }
    found
}

/// The rings: sets of files each of which reaches all others.
fn rings(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<&String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|name| (name, reach(name, edges))).collect();
    let ring = |name: &&String| -> Vec<&String> {
        edges
            .keys()
            .filter(|other| reached[*name].contains(other) && reached[other].contains(name))
            .collect()
    };
    edges.keys().map(|name| ring(&name)).filter(|ring| ring.len() > 1).collect()
}

#[test]
fn files_form_no_ring_but_that_of_the_trait() {
    let edges = edges();
    let count: usize = edges.values().map(BTreeSet::len).sum();
    assert!(count > 600, "{count} imports were found");
    let rings = rings(&edges);
    let expected: Vec<String> = TRAIT.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(rings, BTreeSet::from([expected.iter().collect()]));
}

#[test]
fn rings_are_found() {
    let text = "
pub use crate::law::Law;
use crate::{bijector::{Bijector, visit::Visit}, context::Context};
use super::super::reshape::Swap;
fn f(x: &crate::error::ShapeError) { $crate::flow::no(); }
";
    let found: BTreeSet<String> =
        paths(text, &["law", "affine"]).iter().map(|path| path.join("::")).collect();
    for path in
        ["bijector::Bijector", "bijector::visit::Visit", "reshape::Swap", "error::ShapeError"]
    {
        assert!(found.contains(path), "{path} is not in {found:?}");
    }
    assert!(!found.iter().any(|path| path.starts_with("flow")));

    let names =
        |list: &[&str]| -> BTreeSet<String> { list.iter().map(|&n| n.to_owned()).collect() };
    let edges = BTreeMap::from([
        ("a".to_owned(), names(&["b"])),
        ("b".to_owned(), names(&["c"])),
        ("c".to_owned(), names(&["b"])),
    ]);
    assert_eq!(rings(&edges), BTreeSet::from([vec![&"b".to_owned(), &"c".to_owned()]]));
}
