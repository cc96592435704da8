use super::{Images, Report};

/// A training set and a test set that share no file.
///
/// Every reader of this module gives one, with both sets of the same image shape and neither of them empty. Labels of the same number are
/// the same class in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What the parameters are fitted to.
    pub train: Images,
    /// What bits/dim is reported on.
    pub test: Images,
    /// What the reader left out, or found worth saying. Empty for sets that no folder was read for.
    pub report: Report,
}

impl Split {
    /// A split of which there is nothing to report.
    pub fn new(train: Images, test: Images) -> Self {
        Self { train, test, report: Report::default() }
    }
}
