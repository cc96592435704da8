use super::Images;

/// A training set and a test set that share no image.
///
/// Every reader of this module gives one, with both sets of the same image shape and neither of them empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What the parameters are fitted to.
    pub train: Images,
    /// What bits/dim is reported on.
    pub test: Images,
}
