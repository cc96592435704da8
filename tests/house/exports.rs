//! The root of the crate exports what users compose with, and nothing that only kernels, parts of
//! networks or drivers need.

use std::collections::BTreeSet;
use std::fs;

use crate::{files, root};

/// Settings in the configurations of networks, which stand in the folder of their parts.
const SETTINGS: [&str; 3] = ["Activation", "ConvStyle", "Mixing"];

/// Folders and files whose items are reached by their module path.
const INNER: [&str; 7] = [
    "src/bijector/chain.rs",
    "src/bijector/replay/guard.rs",
    "src/bijector/replay/mod.rs",
    "src/bijector/replay/trail.rs",
    "src/bijector/visit.rs",
    "src/conditioner/layer",
    "src/kernel",
];

/// The last names of all paths of `pub use`, with what follows `as` in place of the name.
fn exported(text: &str) -> BTreeSet<String> {
    let uses = text.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let items = uses.flat_map(|path| path.split([',', '{', '}']));
    let names = items.filter_map(|item| item.rsplit("::").next()?.split(" as ").last());
    names.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Names of the public items at the outermost level of a file.
fn defined(text: &str) -> Vec<&str> {
    let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub fn ", "pub type ", "pub const "];
    named(text, &kinds)
}

/// Names of its public traits.
fn traits(text: &str) -> Vec<&str> {
    named(text, &["pub trait "])
}

fn named<'a>(text: &'a str, kinds: &[&str]) -> Vec<&'a str> {
    let lines = text.lines();
    let items = lines.filter_map(|line| kinds.iter().find_map(|kind| line.strip_prefix(kind)));
    let names = items.map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next());
    names.flatten().collect()
}

#[test]
fn the_root_exports_what_users_compose_with() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let root_names = exported(&lib);
    assert!(root_names.contains("Coupling") && root_names.len() > 80, "{root_names:?}");
    for path in lib.lines().filter_map(|line| line.strip_prefix("pub use ")) {
        assert!(!path.starts_with("kernel") && !path.starts_with("conditioner::layer"), "{path}");
    }
    let mut seen = 0;
    for (path, text) in files("src", "rs") {
        let own = path.strip_prefix(root()).unwrap();
        if !INNER.iter().any(|inner| own.starts_with(inner)) {
            continue;
        }
        // Modules of kernels are private; what they hold may have any name.
        let kernel = own.starts_with("src/kernel");
        let names = if kernel { traits(&text) } else { defined(&text) };
        for name in names.into_iter().filter(|name| !SETTINGS.contains(name)) {
            seen += 1;
            assert!(!root_names.contains(name), "{name} of {} is at the root", own.display());
        }
    }
    assert!(seen > 30, "{seen} items were found");
}

#[test]
fn the_programs_of_the_readme_import_only_the_prelude() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let programs = readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut seen = 0;
    for program in programs {
        seen += 1;
        let uses: Vec<&str> =
            program.lines().filter(|line| line.trim_start().starts_with("use ")).collect();
        assert_eq!(uses, ["use flowkit::prelude::*;"]);
    }
    assert!(seen > 1, "{seen} programs were found");
}

#[test]
fn exports_are_read() {
    let text = "
pub use a::B;
pub use c::{
    D, E as F, g::H,
};
use i::J;
pub mod k;
";
    assert_eq!(exported(text).into_iter().collect::<Vec<_>>(), ["B", "D", "F", "H"]);
    assert_eq!(
        defined("pub struct A<B> {\n    pub fn c() {}\npub fn d() {}\nfn e() {}"),
        ["A", "d"]
    );
}
