//! Whether elements are finite; each check is one device-to-host copy.

use burn::tensor::Tensor;

/// Whether no element is NaN or infinite. If the device fails to answer, this returns `true`, and
/// the device reports its error where the elements are used.
pub(crate) fn all_finite<const D: usize>(x: &Tensor<D>) -> bool {
    x.clone().inner().is_finite().all().try_into_scalar::<bool>().unwrap_or(true)
}

/// A condition that holds NaN or an infinity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {path} is not finite{}",
    row.map_or_else(String::new, |row| format!(": the first such element is in row {row}"))
)]
pub struct NonFiniteContext {
    /// `condition`, or the part of a pair: `condition.1`, `condition.0.1` in a pair of pairs.
    pub path: String,
    /// First row, along the batch axis, that holds such an element; `None` if the type of the
    /// condition does not report rows.
    pub row: Option<usize>,
}

impl NonFiniteContext {
    /// An error in a row of the whole condition.
    pub fn new(row: Option<usize>) -> Self {
        Self { path: "condition".into(), row }
    }

    /// The same error in the member `index` of a pair.
    pub fn within(self, index: usize) -> Self {
        let rest = self.path.strip_prefix("condition").unwrap_or_default();
        Self { path: format!("condition.{index}{rest}"), row: self.row }
    }
}

/// The first row that holds an element that is not finite. `None` if none does.
pub(crate) fn non_finite_row<const D: usize>(x: &Tensor<D>) -> Option<usize> {
    let dims = x.dims();
    let per_row: usize = dims[1..].iter().product();
    if dims[0] * per_row == 0 || all_finite(x) {
        return None;
    }
    let finite = x.clone().inner().is_finite().reshape([dims[0], per_row]).int().sum_dim(1);
    finite.try_into_data().ok()?.iter::<i64>().position(|finite| finite < per_row as i64)
}
