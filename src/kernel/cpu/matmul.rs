//! Matrix products on slices.
//! ```text
//! out[i, j] = Σ_k lhs[i, k]·rhs[k, j]          or added to the elements of `out`
//! ```
//! A matrix is a slice with a shape and strides, so a transposed matrix, a shifted image and a
//! block of a larger matrix are views.
//!
//! # Cost
//! The product is fastest if `out` and `rhs` are contiguous along `j` and their number of columns
//! is a multiple of the vector's length: then `rhs` is read in place. A `rhs` that is contiguous
//! along `k` costs about twice the time.
//!
//! # Numerics
//! It runs on one thread, so the order of summation depends only on the shape.

use gemm::Parallelism;

use super::simd::Real;

/// A matrix in a slice.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    shape: [usize; 2],
    strides: [usize; 2],
}

/// A matrix in a mutable slice.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    data: &'a mut [T],
    shape: [usize; 2],
    strides: [usize; 2],
}

/// What happens to the elements that the result holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// They are overwritten.
    Set,
    /// The product is added to them.
    Add,
}

impl<'a, T> Matrix<'a, T> {
    /// The matrix whose element `[i, j]` is `data[i·strides[0] + j·strides[1]]`.
    ///
    /// # Panics
    /// If an element lies beyond the end of the slice.
    pub fn new(data: &'a [T], shape: [usize; 2], strides: [usize; 2]) -> Self {
        check_reach(data.len(), shape, strides);
        Self { data, shape, strides }
    }

    /// Rows follow each other without gaps.
    ///
    /// # Panics
    /// If the slice is too short.
    pub fn row_major(data: &'a [T], shape: [usize; 2]) -> Self {
        Self::new(data, shape, [shape[1], 1])
    }
}

impl<'a, T> MatrixMut<'a, T> {
    /// The matrix whose element `[i, j]` is `data[i·strides[0] + j·strides[1]]`.
    ///
    /// # Panics
    /// If an element lies beyond the end of the slice, or two elements have the same place.
    pub fn new(data: &'a mut [T], shape: [usize; 2], strides: [usize; 2]) -> Self {
        check_reach(data.len(), shape, strides);
        let [rows, columns] = shape;
        let [row, column] = strides;
        let rows_apart = row >= columns.saturating_mul(column) || rows <= 1;
        let columns_apart = column >= rows.saturating_mul(row) || columns <= 1;
        let spread = (row > 0 || rows <= 1) && (column > 0 || columns <= 1);
        assert!(
            spread && (rows_apart || columns_apart),
            "elements of shape {shape:?}, strides {strides:?} overlap"
        );
        Self { data, shape, strides }
    }

    /// Rows follow each other without gaps.
    ///
    /// # Panics
    /// If the slice is too short.
    pub fn row_major(data: &'a mut [T], shape: [usize; 2]) -> Self {
        Self::new(data, shape, [shape[1], 1])
    }
}

fn check_reach(length: usize, shape: [usize; 2], strides: [usize; 2]) {
    if shape.contains(&0) {
        return;
    }
    let reach = |axis: usize| (shape[axis] - 1).checked_mul(strides[axis]);
    let last = reach(0).zip(reach(1)).and_then(|(rows, columns)| rows.checked_add(columns));
    assert!(
        last.is_some_and(|last| last < length),
        "a matrix of shape {shape:?}, strides {strides:?} does not fit {length} elements"
    );
}

/// The product, on the calling thread.
///
/// # Panics
/// If the shapes do not match.
#[allow(unsafe_code)]
pub fn matmul<T: Real>(
    lhs: Matrix<'_, T>,
    rhs: Matrix<'_, T>,
    out: MatrixMut<'_, T>,
    write: Write,
) {
    let ([rows, depth], [inner, columns]) = (lhs.shape, rhs.shape);
    assert!(
        depth == inner && out.shape == [rows, columns],
        "product of {:?} and {:?} to {:?}",
        lhs.shape,
        rhs.shape,
        out.shape
    );
    let stride = |stride: usize| stride as isize;
    // SAFETY: the constructors checked that every element of the three matrices lies within its
    // slice, and that no two elements of `out` have the same place; so offsets stay below the
    // length of a slice, which fits an isize. `out` is borrowed mutably, so it overlaps neither
    // operand, and all slices are initialised. T is f32 or f64, which gemm accepts.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.data.as_mut_ptr(),
            stride(out.strides[1]),
            stride(out.strides[0]),
            write == Write::Add,
            lhs.data.as_ptr(),
            stride(lhs.strides[1]),
            stride(lhs.strides[0]),
            rhs.data.as_ptr(),
            stride(rhs.strides[1]),
            stride(rhs.strides[0]),
            T::one(),
            T::one(),
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
