//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::{Int, Tensor};

use super::check;
use super::triangular::inverse_of_lower;
use crate::kernel::exact_product::of_matrices;
use crate::kernel::operands::operands;

/// `L` and `R`.
fn triangles(lower: Tensor<2>, upper: Tensor<2>, diagonal: Tensor<1>) -> (Tensor<2>, Tensor<2>) {
    let [n] = diagonal.dims();
    let identity =
        Tensor::<2>::ones([n, n], (&diagonal.device(), diagonal.dtype())).tril(0).triu(0);
    let (lower, upper) = (lower.tril(-1), upper.triu(1));
    (lower + identity.clone(), upper + identity * diagonal.unsqueeze_dim::<2>(0))
}

/// [`matrix`](super::matrix) in plain tensor operations.
///
/// # Panics
/// Those of [`matrix`](super::matrix).
pub fn matrix(
    lower: Tensor<2>,
    upper: Tensor<2>,
    diagonal: Tensor<1>,
    permutation: Tensor<1, Int>,
) -> Tensor<2> {
    check(operands!("plu", lower, upper, diagonal; permutation: permutation.dtype()));
    let (lower, upper) = triangles(lower, upper, diagonal);
    of_matrices(lower, upper).select(0, permutation)
}

/// [`inverses`](super::inverses) in plain tensor operations.
///
/// # Panics
/// Those of [`inverses`](super::inverses).
pub fn inverses(lower: Tensor<2>, upper: Tensor<2>, diagonal: Tensor<1>) -> (Tensor<2>, Tensor<2>) {
    check(operands!("plu", lower, upper, diagonal));
    let (lower, upper) = triangles(lower.inner(), upper.inner(), diagonal.inner());
    (inverse_of_lower(lower), inverse_of_lower(upper.transpose()).transpose())
}
