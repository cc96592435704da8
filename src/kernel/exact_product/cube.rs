//! The operation on tensors of burn's GPU backends, without matrix units. One unit computes one
//! element of `y` or of the gradient of `x`; neighbours read neighbouring columns, and all of them
//! the same element of the matrix. One cube computes one element of the gradient of a matrix, a sum
//! over examples and positions.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::check;
use super::{ExactProductGradient, ExactProductOps};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{UNITS, cube_each, empty, types, unit_each};
use crate::kernel::operands::operands;

/// `y[b, g] = A[g]·x[b, g]`, or `A[g]ᵀ·x[b, g]` if `transposed`. Each product has `rows` rows and
/// sums over `inner` elements.
#[cube(launch)]
fn product_kernel<F: Float, N: Float>(
    matrices: &Tensor<F>,
    columns: &Tensor<F>,
    products: &mut Tensor<F>,
    groups: u32,
    rows: u32,
    inner: u32,
    positions: u32,
    #[comptime] transposed: bool,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= products.len() {
        terminate!();
    }
    let (rows, inner, positions) = (rows as usize, inner as usize, positions as usize);
    let position = ABSOLUTE_POS % positions;
    let row = ABSOLUTE_POS / positions % rows;
    let block = ABSOLUTE_POS / (positions * rows);
    let matrix = block % groups as usize * rows * inner;
    let mut sum = N::new(0.0);
    for i in 0..inner {
        let entry = if comptime!(transposed) { i * rows + row } else { row * inner + i };
        let column = columns[(block * inner + i) * positions + position];
        sum += N::cast_from(matrices[matrix + entry]) * N::cast_from(column);
    }
    products[ABSOLUTE_POS] = F::cast_from(sum);
}

/// `Σ_b γ[b, g]·x[b, g]ᵀ`.
#[cube(launch)]
fn of_matrices_kernel<F: Float, N: Float>(
    columns: &Tensor<F>,
    gradient: &Tensor<F>,
    of_matrices: &mut Tensor<F>,
    batch: u32,
    groups: u32,
    rows: u32,
    inner: u32,
    positions: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if CUBE_POS >= of_matrices.len() {
        terminate!();
    }
    let (groups, rows, inner) = (groups as usize, rows as usize, inner as usize);
    let positions = positions as usize;
    let group = CUBE_POS / (rows * inner);
    let (row, i) = (CUBE_POS / inner % rows, CUBE_POS % inner);
    let count = batch as usize * positions;
    let mut sum = N::new(0.0);
    let mut at = UNIT_POS as usize;
    while at < count {
        let (block, position) = (at / positions * groups + group, at % positions);
        let of_product = gradient[(block * rows + row) * positions + position];
        let column = columns[(block * inner + i) * positions + position];
        sum += N::cast_from(of_product) * N::cast_from(column);
        at += comptime!(UNITS as usize);
    }
    let sum = sum_of_units::<N>(sum);
    if UNIT_POS == 0 {
        of_matrices[CUBE_POS] = F::cast_from(sum);
    }
}

/// The products of the matrices `[G, m, k]`, or of their transposes, with columns.
fn product(matrices: CubeTensor, columns: CubeTensor, transposed: bool) -> CubeTensor {
    let (matrices, columns) = (into_contiguous(matrices), into_contiguous(columns));
    let [groups, m, k] = matrices.meta.shape().dims();
    let [batch, _, inner, positions] = columns.meta.shape().dims();
    let rows = if transposed { k } else { m };
    let products = empty(&columns, [batch, groups, rows, positions]);
    let (count, units) = unit_each(&columns, batch * groups * rows * positions);
    let (storage, arithmetic) = types(columns.dtype);
    product_kernel::launch(
        &products.client,
        count,
        units,
        matrices.into_tensor_arg(),
        columns.into_tensor_arg(),
        products.clone().into_tensor_arg(),
        groups as u32,
        rows as u32,
        inner as u32,
        positions as u32,
        transposed,
        storage,
        arithmetic,
    );
    products
}

impl ExactProductOps for CubeBackend {
    fn exact_product(matrices: FloatTensor<Self>, columns: FloatTensor<Self>) -> FloatTensor<Self> {
        check(operands!("exact_product", matrices, columns));
        product(matrices, columns, false)
    }
}

impl ExactProductGradient for CubeBackend {
    fn exact_product_backward_of_columns(
        matrices: FloatTensor<Self>,
        columns: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        check(operands!("exact_product_backward", matrices, columns, gradient));
        product(matrices, gradient, true)
    }

    fn exact_product_backward_of_matrices(
        matrices: FloatTensor<Self>,
        columns: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        check(operands!("exact_product_backward", matrices, columns, gradient));
        let (columns, gradient) = (into_contiguous(columns), into_contiguous(gradient));
        let shape @ [groups, rows, inner] = matrices.meta.shape().dims();
        let [batch, _, _, positions] = columns.meta.shape().dims();
        let of_matrices = empty(&columns, shape);
        let (count, units) = cube_each(&columns, groups * rows * inner);
        let (storage, arithmetic) = types(columns.dtype);
        of_matrices_kernel::launch(
            &of_matrices.client,
            count,
            units,
            columns.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_matrices.clone().into_tensor_arg(),
            batch as u32,
            groups as u32,
            rows as u32,
            inner as u32,
            positions as u32,
            storage,
            arithmetic,
        );
        of_matrices
    }
}
