//! Elements that are computed at once, one in each lane, and where their parameters stand.

use std::ops::Range;

use super::constants::{Constants, wide};
use crate::kernel::cpu::simd::Real;

/// Elements of a block: numbers of a vector of float64 in the widest instruction set.
pub const VECTOR: usize = 8;

/// A number of each element of a block.
pub type Lanes = [f64; VECTOR];

/// The operands of a call. Elements of an example are contiguous, examples and rows may have gaps.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    pub n_dims: usize,
    /// `x` or `z`, and the distance of examples.
    pub values: &'a [T],
    pub stride: usize,
    /// Parameters, and the distances of examples and of rows.
    pub theta: &'a [T],
    pub theta_stride: usize,
    pub row_stride: usize,
}

/// Some elements, which follow each other in the order of examples. Lanes behind the last of them
/// repeat it.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a, T> {
    theta: &'a [T],
    row_stride: usize,
    /// Where the parameters of each element begin.
    starts: [usize; VECTOR],
    /// The elements.
    pub given: [T; VECTOR],
    /// The same in float64, and 0, which every spline contains, in place of those outside.
    pub values: Lanes,
    /// Whether an element is inside of the spline.
    pub inside: [bool; VECTOR],
}

impl<'a, T: Real> Block<'a, T> {
    /// The `n` elements, at least one, that begin with element number `first` of the batch.
    #[inline(always)]
    pub fn new(batch: &Batch<'a, T>, constants: &Constants, first: usize, n: usize) -> Self {
        let (mut example, mut element) = (first / batch.n_dims, first % batch.n_dims);
        let (mut starts, mut given) = ([0; VECTOR], [T::zero(); VECTOR]);
        for lane in 0..VECTOR {
            starts[lane] = example * batch.theta_stride + element;
            given[lane] = batch.values[example * batch.stride + element];
            if lane + 1 < n {
                element += 1;
                let next = element == batch.n_dims;
                example += usize::from(next);
                element = if next { 0 } else { element };
            }
        }
        let (mut values, mut inside) = ([0.0; VECTOR], [false; VECTOR]);
        for lane in 0..VECTOR {
            let value = wide(given[lane]);
            inside[lane] = constants.inside(value);
            values[lane] = if inside[lane] { value } else { 0.0 };
        }
        let (theta, row_stride) = (batch.theta, batch.row_stride);
        Self { theta, row_stride, starts, given, values, inside }
    }

    /// A parameter of one element.
    #[inline(always)]
    pub fn parameter(&self, row: usize, lane: usize) -> f64 {
        wide(self.theta[self.starts[lane] + row * self.row_stride])
    }

    /// A parameter of each element.
    #[inline(always)]
    pub fn row(&self, row: usize) -> Lanes {
        let mut numbers = [0.0; VECTOR];
        for (lane, number) in numbers.iter_mut().enumerate() {
            *number = self.parameter(row, lane);
        }
        numbers
    }

    /// Writes what the elements inside become. Elements outside stay what they are.
    #[inline(always)]
    pub fn write(&self, inside: &Lanes, outputs: &mut [T]) {
        for (lane, output) in outputs.iter_mut().enumerate() {
            *output = if self.inside[lane] { T::of(inside[lane]) } else { self.given[lane] };
        }
    }
}

/// The blocks of `n` elements.
#[inline(always)]
pub fn blocks(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(VECTOR).map(move |first| first..n.min(first + VECTOR))
}
