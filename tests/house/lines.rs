//! What a reader sees of a file: its head, and lines that are not too wide.

use crate::sources;

/// Longest line, in characters.
const WIDTH: usize = 100;

/// What a reader sees first of a file says what it is for.
#[test]
fn every_file_has_a_head() {
    for (path, text) in sources() {
        let head = text.lines().next().unwrap_or_default();
        let words = head.strip_prefix("//! ").is_some_and(|words| !words.is_empty());
        assert!(words, "{}: the first line is no `//!` head: {head}", path.display());
    }
}

/// The lines that are too wide, with their numbers. A comment without a place to break it, such as
/// an address, may be; so may a row of a table in a comment.
fn wide(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .filter(|(_, line)| {
            let own = line.trim_start();
            let words = own.trim_start_matches(['/', '!']).trim();
            let free = own.starts_with("//") && (words.starts_with('|') || !words.contains(' '));
            !free && line.chars().count() > WIDTH
        })
        .collect()
}

/// Of code too: rustfmt breaks no strings, and leaves as it is what it cannot format.
#[test]
fn lines_are_narrow() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in wide(&text) {
            found.push(format!("{}:{number}: {} characters", path.display(), line.chars().count()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn wide_lines_are_found() {
    let long = "word ".repeat(30);
    let address = "x".repeat(200);
    let text = [
        format!("// {long}"),
        format!("let x = 1; // {long}"),
        format!("/// | {long} |"),
        format!("/// {address}"),
        format!("    //! {long}"),
        format!("let x = \"{long}\";"),
        format!("let x = \"{address}\";"),
        format!("    {}", "é".repeat(WIDTH - 4)),
        format!("    {}", "é".repeat(WIDTH - 3)),
    ];
    let text = text.join("\n");
    let numbers: Vec<_> = wide(&text).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 5, 6, 7, 9]);
}
