//! Indices as text, for the display of modules: burn shows only the shape of such a parameter.

use std::fmt::{Debug, Formatter, Result as FmtResult};

use burn::module::Param;
use burn::tensor::{Int, Tensor};

/// Number of indices that are shown of a longer list.
const SHOWN: usize = 8;

/// Indices as text.
/// ```text
/// natural, 0 to 63        reversed, 63 to 0        [2, 0, 1]        [5, 0, ..., and 56 more]
/// ```
#[derive(PartialEq)]
pub(crate) enum IndexList {
    Read(Vec<i64>),
    /// The device returned nothing: only their number is known.
    Unread(usize),
}

impl IndexList {
    /// The indices of a parameter. One device-to-host copy.
    pub(crate) fn of(indices: &Param<Tensor<1, Int>>) -> Self {
        match indices.val().try_into_data() {
            Ok(data) => Self::Read(data.iter::<i64>().collect()),
            Err(_) => Self::Unread(indices.lazy_shape()[0]),
        }
    }
}

impl Debug for IndexList {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let indices = match self {
            Self::Read(indices) => indices,
            Self::Unread(n) => return write!(f, "{n} indices"),
        };
        let n = indices.len() as i64;
        if n > 1 && indices.iter().copied().eq(0..n) {
            return write!(f, "natural, 0 to {}", n - 1);
        }
        if n > 1 && indices.iter().copied().eq((0..n).rev()) {
            return write!(f, "reversed, {} to 0", n - 1);
        }
        let shown: Vec<String> = indices.iter().take(SHOWN).map(i64::to_string).collect();
        match indices.len().saturating_sub(SHOWN) {
            0 => write!(f, "[{}]", shown.join(", ")),
            more => write!(f, "[{}, and {more} more]", shown.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_short_texts() {
        let text = |indices: Vec<i64>| format!("{:?}", IndexList::Read(indices));
        assert_eq!(text((0..64).collect()), "natural, 0 to 63");
        assert_eq!(text((0..64).rev().collect()), "reversed, 63 to 0");
        assert_eq!(text(vec![2, 0, 1]), "[2, 0, 1]");
        assert_eq!(
            text((0..10).map(|i| i * 2).collect()),
            "[0, 2, 4, 6, 8, 10, 12, 14, and 2 more]"
        );
        assert_eq!((text(vec![]), text(vec![0])), ("[]".into(), "[0]".into()));
    }
}
