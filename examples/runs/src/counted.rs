//! Numbers with their nouns, in texts for people.

/// A number with its noun: `1 update`, `2 updates`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
