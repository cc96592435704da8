//! The operation on tensors of burn's GPU backends, one launch each. One unit computes one entry of
//! `W`, or of the gradients at one place, or one column of an inverse by substitution.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::check;
use super::{PluGradient, PluOps};
use crate::kernel::cube::{empty, types, unit_each};
use crate::kernel::operands::operands;

/// `L[row, column]` for `column ≤ row`.
#[cube]
fn lower_entry<F: Float, N: Float>(lower: &Tensor<F>, n: usize, row: usize, column: usize) -> N {
    select(row == column, N::new(1.0), N::cast_from(lower[row * n + column]))
}

/// `R[row, column]` for `row ≤ column`.
#[cube]
fn upper_entry<F: Float, N: Float>(
    upper: &Tensor<F>,
    diagonal: &Tensor<F>,
    n: usize,
    row: usize,
    column: usize,
) -> N {
    let off = N::cast_from(upper[row * n + column]);
    select(row == column, N::cast_from(diagonal[row]), off)
}

#[cube(launch)]
fn matrix_kernel<F: Float, N: Float, I: Int>(
    lower: &Tensor<F>,
    upper: &Tensor<F>,
    diagonal: &Tensor<F>,
    permutation: &Tensor<I>,
    matrix: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= matrix.len() {
        terminate!();
    }
    let n = diagonal.len();
    let row = usize::cast_from(permutation[ABSOLUTE_POS / n]);
    let column = ABSOLUTE_POS % n;
    let last = select(row < column, row, column);
    let mut sum = N::new(0.0);
    for k in 0..last + 1 {
        sum += lower_entry::<F, N>(lower, n, row, k)
            * upper_entry::<F, N>(upper, diagonal, n, k, column);
    }
    matrix[ABSOLUTE_POS] = F::cast_from(sum);
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float, I: Int>(
    lower: &Tensor<F>,
    upper: &Tensor<F>,
    diagonal: &Tensor<F>,
    permutation: &Tensor<I>,
    gradient: &Tensor<F>,
    of_lower: &mut Tensor<F>,
    of_upper: &mut Tensor<F>,
    of_diagonal: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= gradient.len() {
        terminate!();
    }
    let n = diagonal.len();
    let (row, column) = (ABSOLUTE_POS / n, ABSOLUTE_POS % n);
    let mut sum = N::new(0.0);
    if row > column {
        // H·Rᵀ, where row `row` of H is the row of the gradient that the permutation moved there.
        for i in 0..n {
            if usize::cast_from(permutation[i]) == row {
                for j in column..n {
                    sum += N::cast_from(gradient[i * n + j])
                        * upper_entry::<F, N>(upper, diagonal, n, column, j);
                }
            }
        }
        of_lower[ABSOLUTE_POS] = F::cast_from(sum);
        of_upper[ABSOLUTE_POS] = F::cast_from(N::new(0.0));
    } else {
        // Lᵀ·H, in the order of the gradient's rows.
        for i in 0..n {
            let from = usize::cast_from(permutation[i]);
            if from >= row {
                sum += lower_entry::<F, N>(lower, n, from, row)
                    * N::cast_from(gradient[i * n + column]);
            }
        }
        of_lower[ABSOLUTE_POS] = F::cast_from(N::new(0.0));
        of_upper[ABSOLUTE_POS] = F::cast_from(select(row == column, N::new(0.0), sum));
        if row == column {
            of_diagonal[row] = F::cast_from(sum);
        }
    }
}

/// The first `n` units compute a column of `L⁻¹` each, the next `n` units one of `R⁻¹`. A unit
/// reads what it has written of its own column.
#[cube(launch)]
fn inverses_kernel<F: Float, N: Float>(
    lower: &Tensor<F>,
    upper: &Tensor<F>,
    diagonal: &Tensor<F>,
    lower_inverse: &mut Tensor<F>,
    upper_inverse: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let n = diagonal.len();
    if ABSOLUTE_POS >= 2 * n {
        terminate!();
    }
    let column = ABSOLUTE_POS % n;
    let zero = N::new(0.0);
    if ABSOLUTE_POS < n {
        for row in 0..n {
            let mut value = select(row == column, N::new(1.0), zero);
            for k in column..row {
                value -=
                    N::cast_from(lower[row * n + k]) * N::cast_from(lower_inverse[k * n + column]);
            }
            lower_inverse[row * n + column] = F::cast_from(value);
        }
    } else {
        for step in 0..n {
            let row = n - 1 - step;
            let mut value = select(row == column, N::new(1.0), zero);
            for k in row + 1..column + 1 {
                value -=
                    N::cast_from(upper[row * n + k]) * N::cast_from(upper_inverse[k * n + column]);
            }
            let solved = value / N::cast_from(diagonal[row]);
            // Below the diagonal nothing is divided: the quotient of zeros would be NaN.
            upper_inverse[row * n + column] = F::cast_from(select(row > column, zero, solved));
        }
    }
}

impl PluOps for CubeBackend {
    fn plu_matrix(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
        permutation: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        check(operands!("plu_matrix", lower, upper, diagonal; permutation: permutation.dtype));
        let [lower, upper, diagonal, permutation] =
            [lower, upper, diagonal, permutation].map(into_contiguous);
        let [n] = diagonal.meta.shape().dims();
        let matrix = empty(&lower, [n, n]);
        let (count, units) = unit_each(&lower, n * n);
        let (storage, arithmetic) = types(lower.dtype);
        let index = dtype_to_storage_type(permutation.dtype);
        matrix_kernel::launch(
            &matrix.client,
            count,
            units,
            lower.into_tensor_arg(),
            upper.into_tensor_arg(),
            diagonal.into_tensor_arg(),
            permutation.into_tensor_arg(),
            matrix.clone().into_tensor_arg(),
            storage,
            arithmetic,
            index,
        );
        matrix
    }

    fn plu_inverses(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("plu_inverses", lower, upper, diagonal));
        let [lower, upper, diagonal] = [lower, upper, diagonal].map(into_contiguous);
        let [n] = diagonal.meta.shape().dims();
        let (lower_inverse, upper_inverse) = (empty(&lower, [n, n]), empty(&lower, [n, n]));
        let (count, units) = unit_each(&lower, 2 * n);
        let (storage, arithmetic) = types(lower.dtype);
        inverses_kernel::launch(
            &lower_inverse.client,
            count,
            units,
            lower.into_tensor_arg(),
            upper.into_tensor_arg(),
            diagonal.into_tensor_arg(),
            lower_inverse.clone().into_tensor_arg(),
            upper_inverse.clone().into_tensor_arg(),
            storage,
            arithmetic,
        );
        (lower_inverse, upper_inverse)
    }
}

impl PluGradient for CubeBackend {
    fn plu_matrix_backward(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
        permutation: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let call = operands!(
            "plu_matrix_backward", lower, upper, diagonal, gradient;
            permutation: permutation.dtype
        );
        check(call);
        let [lower, upper, diagonal, permutation, gradient] =
            [lower, upper, diagonal, permutation, gradient].map(into_contiguous);
        let [n] = diagonal.meta.shape().dims();
        let (of_lower, of_upper) = (empty(&lower, [n, n]), empty(&lower, [n, n]));
        let of_diagonal = empty(&lower, [n]);
        let (count, units) = unit_each(&lower, n * n);
        let (storage, arithmetic) = types(lower.dtype);
        let index = dtype_to_storage_type(permutation.dtype);
        backward_kernel::launch(
            &of_lower.client,
            count,
            units,
            lower.into_tensor_arg(),
            upper.into_tensor_arg(),
            diagonal.into_tensor_arg(),
            permutation.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_lower.clone().into_tensor_arg(),
            of_upper.clone().into_tensor_arg(),
            of_diagonal.clone().into_tensor_arg(),
            storage,
            arithmetic,
            index,
        );
        (of_lower, of_upper, of_diagonal)
    }
}
