//! Numbers with their nouns, in texts for people.

use std::fmt::Display;

/// A number with its noun: `1 update`, `2 updates`, `1 entry`, `2 entries`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    if n == N::from(1) {
        return format!("{n} {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) => format!("{n} {stem}ies"),
        None => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular() {
        let texts = [0usize, 1, 2].map(|n| counted(n, "update"));
        assert_eq!(texts, ["0 updates", "1 update", "2 updates"]);
        assert_eq!([1u64, 2].map(|n| counted(n, "entry")), ["1 entry", "2 entries"]);
    }
}
