//! The operation on slices.
//! ```text
//! gx = g·a          gb = a·Σ g          ga = Σ g·(x + b)          sums over examples and positions
//! ```
//!
//! # Numerics
//! Sums are taken over each plane, then over the examples in order, so they do not depend on the
//! number of threads.

use crate::kernel::cpu::remainder::{load, store};
use crate::kernel::cpu::scratch::Scratch;
use crate::kernel::cpu::simd::{InstructionSet, Kernel, LANES, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::for_each;
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};

/// Of an element of `x`, by `k.channel_affine` of `benches/kernel/cost.rs`.
const FORWARD: Cost = Cost::picoseconds(85);
const BACKWARD: Cost = Cost::picoseconds(920);
const OF_PARAMETERS: Cost = Cost::picoseconds(160);

/// The operation.
#[derive(Debug, Clone, Copy)]
pub struct ChannelAffine {
    /// Channels `C`.
    pub channels: usize,
    /// Positions `P` of a channel of an example.
    pub positions: usize,
    pub set: InstructionSet,
}

/// The operands.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a, T> {
    pub x: &'a [T],
    pub shift: &'a [T],
    pub scale: &'a [T],
}

/// The slices for the gradients. All of them are written in full.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// Gradient of `x`, if it is required.
    pub x: Option<&'a mut [T]>,
    pub shift: &'a mut [T],
    pub scale: &'a mut [T],
}

impl ChannelAffine {
    /// `z` from `x`.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn forward<T: Real>(&self, operands: Operands<'_, T>, z: &mut [T]) {
        let Operands { x, shift, scale } = operands;
        self.check(operands, z.len());
        if x.is_empty() {
            return;
        }
        let planes = z.par_chunks_mut(self.positions).zip(x.par_chunks(self.positions)).enumerate();
        for_each(planes, FORWARD.times(self.positions), |(plane, (z, x))| {
            let channel = plane % self.channels;
            self.set.dispatch(Forward { x, shift: shift[channel], scale: scale[channel], z });
        });
    }

    /// Gradients from the gradient of `z`.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn backward<T: Scratch>(
        &self,
        operands: Operands<'_, T>,
        gradient: &[T],
        gradients: Gradients<'_, T>,
    ) {
        let Operands { x, shift, scale } = operands;
        self.check(operands, gradient.len());
        let Gradients { x: gx, shift: of_shift, scale: of_scale } = gradients;
        let fits = gx.as_ref().is_none_or(|gx| gx.len() == x.len());
        assert!(
            fits && of_shift.len() == self.channels && of_scale.len() == self.channels,
            "channel_affine: gradients"
        );
        of_shift.fill(T::zero());
        of_scale.fill(T::zero());
        if x.is_empty() {
            return;
        }
        let positions = self.positions;
        T::with_scratch(2 * x.len() / positions, |sums| {
            let read = x.par_chunks(positions).zip(gradient.par_chunks(positions));
            let tasks = sums.par_chunks_exact_mut(2).zip(read).enumerate();
            let plane = |index: usize, sums: &mut [T], x: &[T], g: &[T], gx: &mut [T]| {
                let channel = index % self.channels;
                let (shift, scale) = (shift[channel], scale[channel]);
                [sums[0], sums[1]] = self.set.dispatch(Backward { x, g, shift, scale, gx });
            };
            match gx {
                Some(gx) => {
                    let tasks = tasks.zip(gx.par_chunks_mut(positions));
                    for_each(tasks, BACKWARD.times(positions), |((index, (sums, (x, g))), gx)| {
                        plane(index, sums, x, g, gx);
                    });
                }
                None => {
                    for_each(tasks, OF_PARAMETERS.times(positions), |(index, (sums, (x, g)))| {
                        plane(index, sums, x, g, &mut []);
                    })
                }
            }
            for sums in sums.chunks_exact(2 * self.channels) {
                for ((of_shift, of_scale), sum) in
                    of_shift.iter_mut().zip(&mut *of_scale).zip(sums.chunks_exact(2))
                {
                    *of_shift += sum[0];
                    *of_scale += sum[1];
                }
            }
        });
        of_shift.iter_mut().zip(scale).for_each(|(of_shift, &scale)| *of_shift *= scale);
    }

    fn check<T>(&self, Operands { x, shift, scale }: Operands<'_, T>, z: usize) {
        let fits = shift.len() == self.channels && scale.len() == self.channels && z == x.len();
        let whole = x.is_empty() || x.len().is_multiple_of(self.channels * self.positions);
        assert!(
            fits && whole,
            "channel_affine: {self:?} of {}, {}, {}",
            x.len(),
            shift.len(),
            scale.len()
        );
    }
}

struct Forward<'a, T> {
    x: &'a [T],
    shift: T,
    scale: T,
    z: &'a mut [T],
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        for (z, &x) in self.z.iter_mut().zip(self.x) {
            *z = (x + self.shift) * self.scale;
        }
    }
}

/// The gradient of a plane of `x`, unless `gx` is empty, and `Σ g` and `Σ g·(x + b)`.
struct Backward<'a, T> {
    x: &'a [T],
    g: &'a [T],
    shift: T,
    scale: T,
    gx: &'a mut [T],
}

impl<T: Real> Kernel for Backward<'_, T> {
    type Output = [T; 2];

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) -> [T; 2] {
        let Self { x, g, shift, scale, gx } = self;
        let (xs, x_rest) = x.as_chunks::<LANES>();
        let (gs, g_rest) = g.as_chunks::<LANES>();
        let (mut of_shift, mut of_scale) = ([T::zero(); LANES], [T::zero(); LANES]);
        for (x, g) in xs.iter().zip(gs) {
            for lane in 0..LANES {
                of_shift[lane] += g[lane];
                of_scale[lane] = M::mul_add(g[lane], x[lane] + shift, of_scale[lane]);
            }
        }
        let (x, g) = (load(x_rest), load(g_rest));
        for lane in 0..LANES {
            of_shift[lane] += g[lane];
            of_scale[lane] = M::mul_add(g[lane], x[lane] + shift, of_scale[lane]);
        }
        let (gxs, gx_rest) = gx.as_chunks_mut::<LANES>();
        for (gx, g) in gxs.iter_mut().zip(gs) {
            for lane in 0..LANES {
                gx[lane] = g[lane] * scale;
            }
        }
        store(&g.map(|g| g * scale), gx_rest);
        [of_shift.into_iter().sum(), of_scale.into_iter().sum()]
    }
}
