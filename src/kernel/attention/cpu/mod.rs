//! Attention.

mod backward;
mod forward;
mod pack;
mod parallel;
mod tile;

pub use parallel::{backward, backward_with, forward, forward_with};

use crate::kernel::simd::Real;

/// A head of an example: three matrices `[channels, positions]`.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a, T> {
    /// Queries.
    queries: &'a [T],
    /// Keys.
    keys: &'a [T],
    /// Values.
    values: &'a [T],
    /// Positions.
    n_positions: usize,
}

impl<'a, T: Real> Head<'a, T> {
    /// Head of that index, counted through all examples.
    fn new(projected: &'a [T], [_, filters, positions]: [usize; 3], heads: usize, index: usize) -> Self {
        let size = filters / heads * positions;
        let start = index / heads * 3 * filters * positions + index % heads * size;
        let part = |part: usize| &projected[start + part * filters * positions..][..size];
        Self { queries: part(0), keys: part(1), values: part(2), n_positions: positions }
    }

    #[inline(always)]
    fn n_channels(&self) -> usize {
        self.queries.len() / self.n_positions
    }

    /// `1/√d`.
    #[inline(always)]
    fn scale(&self) -> T {
        T::of((self.n_channels() as f64).sqrt().recip())
    }
}
