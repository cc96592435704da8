//! What stands in comments.

use crate::{files, sources};

/// Longest line of a comment, in characters.
const WIDTH: usize = 100;

/// What a reader sees first of a file says what it is for.
#[test]
fn every_file_has_a_head() {
    for (path, text) in files("src", "rs") {
        let head = text.lines().next().unwrap_or_default();
        let words = head.strip_prefix("//! ").is_some_and(|words| !words.is_empty());
        assert!(words, "{}: the first line is no `//!` head: {head}", path.display());
    }
}

/// The lines of comments that are too wide, with their numbers. A line without a place to break it,
/// such as an address, may be; so may a row of a table.
fn wide(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .filter(|(_, line)| {
            let own = line.trim_start();
            let words = own.trim_start_matches(['/', '!']).trim();
            let table = words.starts_with('|');
            own.starts_with("//") && !table && words.contains(' ') && line.chars().count() > WIDTH
        })
        .collect()
}

#[test]
fn comments_are_narrow() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in wide(&text) {
            found.push(format!("{}:{number}: {} characters", path.display(), line.chars().count()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn wide_comments_are_found() {
    let long = "word ".repeat(30);
    let text = format!(
        "// {long}\nlet x = 1; // {long}\n/// | {long} |\n/// {}\n    //! {long}\n",
        "x".repeat(200)
    );
    assert_eq!(wide(&text).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 5]);
}
