//! The places of the heads of a batch.

use std::ops::Range;

use crate::kernel::cpu::simd::Real;

/// Shape of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Dims {
    /// Number of examples.
    pub examples: usize,
    /// Number of heads of an example.
    pub heads: usize,
    /// Number of channels of a head.
    pub channels: usize,
    /// Number of positions.
    pub positions: usize,
}

impl Dims {
    /// The shape of a batch with outputs `[examples, filters, positions]`.
    ///
    /// # Panics
    /// If the number of heads does not divide the filters.
    pub fn new([examples, filters, positions]: [usize; 3], heads: usize) -> Self {
        assert!(
            heads > 0 && filters.is_multiple_of(heads),
            "{heads} heads do not divide {filters} filters"
        );
        Self { examples, heads, channels: filters / heads, positions }
    }

    /// Number of heads of all examples.
    pub fn n_heads(&self) -> usize {
        self.examples * self.heads
    }

    /// Number of elements of a head in queries, keys, values or outputs.
    pub fn head_size(&self) -> usize {
        self.channels * self.positions
    }

    /// Number of elements of the outputs.
    pub fn n_outputs(&self) -> usize {
        self.n_heads() * self.head_size()
    }

    /// Range of a head in the outputs. Heads are numbered through all examples.
    pub fn range(&self, index: usize) -> Range<usize> {
        index * self.head_size()..(index + 1) * self.head_size()
    }

    /// The part of the batch that belongs to a head.
    pub fn head<'a, T>(&self, projected: &'a [T], index: usize) -> Head<'a, T> {
        let (example, head) = (index / self.heads, index % self.heads);
        let part = |part: usize| &projected[self.range((3 * example + part) * self.heads + head)];
        Head {
            queries: part(0),
            keys: part(1),
            values: part(2),
            channels: self.channels,
            positions: self.positions,
        }
    }
}

/// A head of an example: three matrices `[channels, positions]`.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a, T> {
    /// Queries.
    pub queries: &'a [T],
    /// Keys.
    pub keys: &'a [T],
    /// Values.
    pub values: &'a [T],
    /// Number of channels.
    pub channels: usize,
    /// Number of positions.
    pub positions: usize,
}

impl<T: Real> Head<'_, T> {
    /// Factor of the scores, `1/√d`.
    #[inline(always)]
    pub fn scale(&self) -> T {
        T::of((self.channels as f64).sqrt().recip())
    }
}
