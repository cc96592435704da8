//! Backward pass. It uses only the arguments of the forward pass.

use super::tile::{TILE, Tile, centre, gather, read, write};
use super::{BACKWARD, ChannelNorm};
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::{Kernel, LANES, Lanes, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{
    IndexedParallelIterator, ParallelSlice, ParallelSliceMut, for_each,
};

/// The slices for the gradients.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// Gradient of `x`.
    pub x: &'a mut [T],
    /// Gradient of the gain.
    pub gain: &'a mut [T],
    /// Gradient of the shift.
    pub shift: &'a mut [T],
}

impl ChannelNorm {
    /// Gradients from `g`, the gradient of `y`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn backward<T: Scratch>(&self, x: &[T], gain: &[T], g: &[T], gradients: Gradients<'_, T>) {
        self.check(x.len(), gain.len(), g.len());
        let Gradients { x: gx, gain: gain_gradient, shift: shift_gradient } = gradients;
        assert_eq!(gx.len(), g.len(), "channel_norm: length of the gradient of x");
        let c = self.channels;
        assert!(
            gain_gradient.len() == c && shift_gradient.len() == c,
            "channel_norm: lengths of gradients"
        );
        gain_gradient.fill(T::zero());
        shift_gradient.fill(T::zero());
        if g.is_empty() {
            return;
        }
        let length = self.length();
        let mut sums = vec![T::zero(); self.batch * 2 * c];
        let examples =
            x.par_chunks(length).zip(g.par_chunks(length)).zip(gx.par_chunks_mut(length));
        let examples = examples.zip(sums.par_chunks_mut(2 * c));
        for_each(examples, BACKWARD.times(length), |(((x, g), gx), sums)| {
            let (positions, epsilon) = (self.positions, T::of(self.epsilon));
            T::with_scratch(2 * c * (TILE + LANES), |mut scratch| {
                let (tiles, _) = cut(&mut scratch, 2 * c * TILE).as_chunks_mut();
                let (partial, _) = scratch[..2 * c * LANES].as_chunks_mut();
                self.set.dispatch(Backward {
                    x,
                    gain,
                    g,
                    positions,
                    epsilon,
                    tiles,
                    partial,
                    gx,
                    sums,
                });
            });
        });
        for sums in sums.chunks_exact(2 * c) {
            let (of_gain, of_shift) = sums.split_at(c);
            for (sum, &part) in
                gain_gradient.iter_mut().zip(of_gain).chain(shift_gradient.iter_mut().zip(of_shift))
            {
                *sum += part;
            }
        }
    }
}

/// The backward pass of one example.
struct Backward<'a, T> {
    x: &'a [T],
    gain: &'a [T],
    g: &'a [T],
    positions: usize,
    epsilon: T,
    /// Tiles of the normalised elements, and of the gradient.
    tiles: &'a mut [Tile<T>],
    /// Partial sums of the gradients of gain and shift.
    partial: &'a mut [Lanes<T>],
    gx: &'a mut [T],
    /// `[gγ, gβ]`.
    sums: &'a mut [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, gain, g, positions, epsilon, tiles, partial, gx, sums } = self;
        let channels = gain.len();
        let share = T::of(1.0 / channels as f64);
        let (units, gradients) = tiles.split_at_mut(channels);
        partial.fill([T::zero(); LANES]);
        let (of_gain, of_shift) = partial.split_at_mut(channels);
        for start in (0..positions).step_by(TILE) {
            let width = TILE.min(positions - start);
            gather(x, positions, start, width, units);
            let scale = centre::<T, M>(units, epsilon);
            let (mut mean, mut along) = ([T::zero(); TILE], [T::zero(); TILE]);
            let rows = gain
                .iter()
                .zip(g.chunks_exact(positions))
                .zip(of_gain.iter_mut().zip(of_shift.iter_mut()));
            for ((unit, gradient), ((&gain, g), (of_gain, of_shift))) in
                units.iter_mut().zip(&mut *gradients).zip(rows)
            {
                let g = read(&g[start..start + width]);
                for lane in 0..TILE {
                    unit[lane] *= scale[lane];
                    gradient[lane] = g[lane] * gain;
                    mean[lane] += gradient[lane];
                    along[lane] = M::mul_add(gradient[lane], unit[lane], along[lane]);
                }
                // Copies, because the compiler assumes that memory behind two references overlaps.
                let (mut gain_sums, mut shift_sums) = (*of_gain, *of_shift);
                for (unit, g) in unit.as_chunks::<LANES>().0.iter().zip(g.as_chunks::<LANES>().0) {
                    for lane in 0..LANES {
                        gain_sums[lane] = M::mul_add(g[lane], unit[lane], gain_sums[lane]);
                        shift_sums[lane] += g[lane];
                    }
                }
                (*of_gain, *of_shift) = (gain_sums, shift_sums);
            }
            for lane in 0..TILE {
                mean[lane] *= share * scale[lane];
                along[lane] *= share * scale[lane];
            }
            for ((unit, gradient), gx) in
                units.iter().zip(&mut *gradients).zip(gx.chunks_exact_mut(positions))
            {
                for lane in 0..TILE {
                    let across = M::mul_add(gradient[lane], scale[lane], -mean[lane]);
                    gradient[lane] = M::mul_add(-unit[lane], along[lane], across);
                }
                write(gradient, &mut gx[start..start + width]);
            }
        }
        let (gain_sums, shift_sums) = sums.split_at_mut(channels);
        for (sum, lanes) in
            gain_sums.iter_mut().zip(&*of_gain).chain(shift_sums.iter_mut().zip(&*of_shift))
        {
            *sum = lanes.iter().copied().sum();
        }
    }
}
