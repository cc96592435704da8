//! What a kernel does with its bindings, read from its WGSL.
//!
//! CubeCL writes one operation a line, and each has a name: `let p = &(*buffer)[i];` is a pointer,
//! `let x = *p;` a load, `*p = x;` a store. All storage is declared `read_write`, so the
//! declaration does not tell them apart.

use std::collections::HashMap;

use regex_lite::Regex;

/// What a kernel does with a binding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Access {
    pub loads: bool,
    pub stores: bool,
}

/// Buffers of a launch's shapes and scalars.
const INFO: &str = "info_var";

/// The accesses by the number of the binding.
pub fn accesses(wgsl: &str) -> HashMap<u64, Access> {
    let pattern = |text: &str| Regex::new(text).expect("a valid pattern");
    let declared = pattern(r"@binding\((\d+)\) var<storage, \w+> (\w+):");
    let pointer = pattern(r"^let (\w+) = &\(?\*?(\w+)\)?[^;]*;$");
    let alias = pattern(r"^let (\w+) = (\w+);$");
    let store = pattern(r"^\*(\w+) = ([^;]*);$");
    let atomic = pattern(r"\batomic(\w+)\((\w+)[,)]");
    let load = pattern(r"\*(\w+)");

    let mut bindings = HashMap::new();
    // The binding that a name points into.
    let mut pointers: HashMap<&str, u64> = HashMap::new();
    for found in declared.captures_iter(wgsl) {
        let (number, name) = (&found[1], found.get(2).expect("of the pattern").as_str());
        if name != INFO {
            let number = number.parse().expect("digits");
            bindings.insert(number, Access::default());
            pointers.insert(name, number);
        }
    }
    let name = |found: &regex_lite::Captures<'_>, group: usize| -> (usize, usize) {
        let found = found.get(group).expect("of the pattern");
        (found.start(), found.end())
    };
    for line in wgsl.lines().map(str::trim) {
        let part = |(start, end): (usize, usize)| &line[start..end];
        if let Some(found) = pointer.captures(line).or_else(|| alias.captures(line)) {
            if let Some(number) = pointers.get(part(name(&found, 2))).copied() {
                pointers.insert(part(name(&found, 1)), number);
            }
            continue;
        }
        let mut read = line;
        if let Some(found) = store.captures(line) {
            if let Some(number) = pointers.get(part(name(&found, 1))) {
                bindings.entry(*number).or_default().stores = true;
            }
            read = part(name(&found, 2));
        }
        for found in atomic.captures_iter(line) {
            if let Some(number) = pointers.get(part(name(&found, 2))) {
                let access = bindings.entry(*number).or_default();
                access.loads |= &found[1] != "Store";
                access.stores |= &found[1] != "Load";
            }
        }
        for found in load.captures_iter(read) {
            if let Some(number) = pointers.get(&found[1]) {
                bindings.entry(*number).or_default().loads = true;
            }
        }
    }
    bindings
}
