//! Forward pass.

use super::tile::{TILE, Tile, centre, gather, write};
use super::{ChannelNorm, FORWARD};
use crate::kernel::cpu::scratch::Scratch;
use crate::kernel::cpu::simd::{Kernel, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{
    IndexedParallelIterator, ParallelSlice, ParallelSliceMut, for_each,
};

impl ChannelNorm {
    /// `y` from `x`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn forward<T: Scratch>(&self, x: &[T], gain: &[T], shift: &[T], y: &mut [T]) {
        self.check(x.len(), gain.len(), y.len());
        assert_eq!(shift.len(), self.channels, "channel_norm: length of the shift");
        if y.is_empty() {
            return;
        }
        let length = self.length();
        let examples = x.par_chunks(length).zip(y.par_chunks_mut(length));
        for_each(examples, FORWARD.times(length), |(x, y)| {
            let epsilon = T::of(self.epsilon);
            T::with_scratch(self.channels * TILE, |scratch| {
                let (tiles, _) = scratch.as_chunks_mut();
                self.set.dispatch(Forward {
                    x,
                    gain,
                    shift,
                    positions: self.positions,
                    epsilon,
                    tiles,
                    y,
                });
            });
        });
    }
}

/// The forward pass of one example.
struct Forward<'a, T> {
    x: &'a [T],
    gain: &'a [T],
    shift: &'a [T],
    positions: usize,
    epsilon: T,
    tiles: &'a mut [Tile<T>],
    y: &'a mut [T],
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, gain, shift, positions, epsilon, tiles, y } = self;
        for start in (0..positions).step_by(TILE) {
            let width = TILE.min(positions - start);
            gather(x, positions, start, width, tiles);
            let scale = centre::<T, M>(tiles, epsilon);
            let channels = gain.iter().zip(shift).zip(y.chunks_exact_mut(positions));
            for (tile, ((&gain, &shift), y)) in tiles.iter().zip(channels) {
                let mut normed = [T::zero(); TILE];
                for lane in 0..TILE {
                    normed[lane] = M::mul_add(tile[lane] * scale[lane], gain, shift);
                }
                write(&normed, &mut y[start..start + width]);
            }
        }
    }
}
