//! What a machine can check of the way this crate is written.

mod bijectors;
mod exports;
mod floors;
mod kernels;
mod lines;
mod rings;

use std::fs;
use std::path::{Path, PathBuf};

/// The crate's folder, above that of its tests.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All files with an extension below a folder of the crate.
fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    ["src", "tests", "examples", "benches"]
        .into_iter()
        .flat_map(|folder| files(folder, "rs"))
        .collect()
}

#[test]
fn files_are_short() {
    assert!(sources().len() > 50, "the crate was not found");
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 480, "{}: {lines} lines", path.display());
    }
}

/// A file that the manifest of the tests leaves out would never run.
#[test]
fn every_program_is_listed() {
    let folder = root().join("tests");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    // That of `tests/compose` is listed there.
    for (path, _) in files("tests", "rs").iter().filter(|(path, _)| !path.ends_with("compose.rs")) {
        let own = path.strip_prefix(&folder).unwrap();
        let a_program =
            own.iter().count() == 1 || own.iter().count() == 2 && own.ends_with("main.rs");
        let line = format!("path = \"{}\"", own.display());
        assert!(!a_program || manifest.contains(&line), "tests/Cargo.toml has no {line}");
    }
}

#[test]
fn names_say_something() {
    for (path, _) in files("src", "rs") {
        for part in path.strip_prefix(root()).unwrap().with_extension("").iter() {
            let banned = ["utils", "util", "helpers", "common", "misc", "base", "types"];
            assert!(!banned.iter().any(|name| part == *name), "{}", path.display());
        }
    }
}

#[test]
fn examples_in_docs_run() {
    let texts = sources().into_iter().chain(files("docs", "md")).chain(files(".", "md"));
    for (path, text) in
        texts.filter(|(path, _)| !path.components().any(|part| part.as_os_str() == "target"))
    {
        for line in text.lines().filter(|line| line.contains("```")) {
            let fence = line.rsplit("```").next().unwrap_or_default();
            assert!(
                !fence.split(',').any(|word| word.trim() == "ignore"),
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    for (path, text) in sources() {
        for name in ["todo", "unimplemented", "dbg"] {
            assert!(!text.contains(&format!("{name}!(")), "{}: {name}", path.display());
        }
    }
}

/// Every file that allows `unsafe` is argued for where a reader looks for it.
#[test]
fn unsafe_code_is_explained() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let sources =
        files("src", "rs").into_iter().filter(|(_, text)| text.contains("allow(unsafe_code"));
    let found: Vec<String> = sources
        .map(|(path, _)| {
            path.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/")
        })
        .collect();
    assert!(!found.is_empty(), "none was found");
    for path in found {
        assert!(
            page.contains(&path),
            "{path} allows `unsafe`, and docs/security.md does not name it"
        );
    }
}

/// The text of an error holds its cause, so a program that prints the chain must not find it once
/// more: thiserror takes a field named `source` for the chain, and `r#source` not.
#[test]
fn causes_are_said_once() {
    let texts = ["src", "examples"].into_iter().flat_map(|folder| files(folder, "rs"));
    let mut fields = 0;
    for (path, text) in texts.filter(|(_, text)| text.contains("#[error(")) {
        for line in text.lines().map(str::trim) {
            assert!(
                !line.starts_with("source: ") && line != "#[source]",
                "{}: {line}",
                path.display()
            );
            fields += usize::from(line.starts_with("r#source: "));
        }
    }
    assert!(fields > 5, "{fields} causes were found");
}

/// Configurations that need no `validate`, and why.
const WITHOUT_RULES: [(&str, &str); 3] = [
    ("AffineConfig", "every form is legal"),
    ("PartitionConfig", "every pattern is legal"),
    ("SqueezeConfig", "either order is legal"),
];

#[test]
fn configurations_are_validated() {
    for (path, text) in files("src", "rs") {
        for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("pub struct ")) {
            let name = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if !name.ends_with("Config") || WITHOUT_RULES.iter().any(|(listed, _)| *listed == name)
            {
                continue;
            }
            let blocks = text.split("\nimpl").skip(1).filter(|block| {
                let head = block.split('{').next().unwrap_or_default();
                let head = format!(" {} ", head.split_whitespace().collect::<Vec<_>>().join(" "));
                head.contains(&format!(" {name} ")) || head.contains(&format!(" {name}<"))
            });
            // What is told a site has rules for the two together.
            let rules = ["fn validate(&self)", "fn plan(&self, site", "fn num_params(&self, site"];
            let prior = |block: &str| {
                block.contains("PriorConfig<") && block.contains("fn build(&self, site")
            };
            let validated = blocks
                .into_iter()
                .any(|block| rules.iter().any(|rule| block.contains(rule)) || prior(block));
            assert!(validated, "{}: {name}", path.display());
        }
    }
}
