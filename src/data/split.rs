//! A training set and its test set.

use super::{Images, Report};

/// A training set and a test set that share no file.
///
/// Every reader of this module returns one. Both sets have the same image shape, and neither is
/// empty. A label means the same class in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The set to which the parameters are fitted.
    pub train: Images,
    /// The set on which bits/dim is reported.
    pub test: Images,
    /// What the reader left out, and other remarks. Empty for sets that were not read from a
    /// folder.
    pub report: Report,
}

impl Split {
    /// A split with an empty report.
    pub fn new(train: Images, test: Images) -> Self {
        Self { train, test, report: Report::default() }
    }
}
