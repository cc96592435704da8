//! Every bijector has its property tests, and a row in the page that helps to choose one.

use std::fs;

use crate::{files, root};

/// A type that the crate implements `Bijector` for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Its name; `tuple` for tuples.
    name: String,
    /// Whether users can name it.
    is_public: bool,
}

/// Whether `text` holds `word` as a whole word.
fn holds(text: &str, word: &str) -> bool {
    let inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        !inner(text[..at].chars().next_back()) && !inner(text[at + word.len()..].chars().next())
    })
}

/// Text without comments.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Names in `impl ... Bijector<...> for Name`, however many lines the header has.
fn implemented(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code
        .match_indices("impl")
        .filter(|(at, _)| code[..*at].rsplit('\n').next().is_some_and(blank))
    {
        let Some(end) = code[at..].find(['{', ';']) else { continue };
        let header = code[at..at + end].split_whitespace().collect::<Vec<_>>().join(" ");
        // The trait follows the generics of `impl`, whose bounds may name it too: it is the one
        // before ` for `.
        let Some((before, after)) = header.split_once(" for ") else { continue };
        let Some(implemented) = last_path(before) else { continue };
        if implemented != "Bijector" {
            continue;
        }
        names.push(
            match after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
            {
                name if name.is_empty() => "tuple".to_owned(),
                name => name,
            },
        );
    }
    names
}

/// Whether a line holds nothing but spaces.
fn blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// The name of the trait at the end of `impl<...> path::Trait<...>`.
fn last_path(text: &str) -> Option<&str> {
    let mut text = text.trim_end();
    if text.ends_with('>') {
        let mut depth = 0;
        let start = text.char_indices().rev().find(|(_, c)| {
            depth += match c {
                '>' => 1,
                '<' => -1,
                _ => 0,
            };
            depth == 0
        })?;
        text = &text[..start.0];
    }
    text.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().filter(|name| !name.is_empty())
}

/// Names of the types that `chain!` and `choice!` define: in each use, the name after `struct` or
/// `enum`, or the first one, with attributes and visibility before it. `choice!` of another trait,
/// `Name: Trait`, is no bijector.
fn generated(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for name in ["chain", "choice"] {
        for (at, open) in code.match_indices(&format!("{name}! {{")) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let mut words = code[at + open.len()..].split_whitespace().skip_while(|word| {
                word.starts_with('#')
                    || word.starts_with("pub")
                    || word.ends_with(']')
                    || *word == "struct"
                    || *word == "enum"
            });
            let Some(word) = words.next() else { continue };
            let end = word.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(word.len());
            let of =
                if word.ends_with(':') { words.next().unwrap_or_default() } else { "Bijector" };
            if end > 0 && of.starts_with("Bijector") {
                names.push(word[..end].to_owned());
            }
        }
    }
    names
}

/// All bijectors of `src`, but those in documentation and in unit tests.
fn bijectors() -> Vec<Found> {
    let mut found = Vec::new();
    let sources = files("src", "rs");
    let all: Vec<String> = sources.iter().map(|(_, text)| code(text)).collect();
    for code in &all {
        let own = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for name in implemented(own).into_iter().chain(generated(own)) {
            let of = |kind: &str| format!("pub {kind} {name}");
            let is_public =
                all.iter().any(|code| holds(code, &of("struct")) || holds(code, &of("enum")));
            found.push(Found { name, is_public });
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_bijector_is_in_the_table() {
    let table: String = files("tests/table", "rs").into_iter().map(|(_, text)| text).collect();
    let all = bijectors();
    assert!(all.len() >= 28, "{all:?}");
    for Found { name, .. } in all {
        assert!(holds(&table, &name), "{name} has no entry in tests/table");
    }
}

#[test]
fn every_public_bijector_can_be_chosen() {
    let page = fs::read_to_string(root().join("docs/choose.md")).unwrap();
    for Found { name, is_public } in bijectors() {
        assert!(
            !is_public || holds(&page, &name),
            "{name} is public, and docs/choose.md does not name it"
        );
    }
}

#[test]
fn bijectors_are_found() {
    let text = "
impl<C: Context> Bijector<4, C> for Stage
where
impl Bijector<4> for TopPrior {}
impl<const D: usize, C, B: Bijector<D, C>>
    Bijector<D, C>
    for Vec<B> {}
impl<B: Bijector<2>> Likelihood<2> for Wrapped<B> {}
impl crate::bijector::Bijector<2> for Own {}
        impl<const D: usize, $($T: Bijector<D>),+> Bijector<D> for ($($T,)+) {}
chain! { #[derive(Module)] pub struct Steps { first, second } }
choice! { pub enum Any { A(A) } }
choice! { pub enum AnyLaw: Law { A(A) } }
";
    assert_eq!(implemented(text), ["Stage", "TopPrior", "Vec", "Own", "tuple"]);
    assert_eq!(generated(text), ["Steps", "Any"]);
    assert!(holds("a Swap, b", "Swap") && !holds("Swapped", "Swap") && !holds("My_Swap", "Swap"));
}
