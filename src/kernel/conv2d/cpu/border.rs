//! The contribution of the border channel to the results, and the gradient of its weights.

use std::ops::Range;

use super::bias_and_epilogue::Bias;
use super::{Conv2d, ConvShape, SUMMING};
use crate::kernel::cpu::remainder::lane_sum;
use crate::kernel::cpu::scratch::{Aligned, Scratch, cut};
use crate::kernel::cpu::simd::{Kernel, LANES, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{IndexedParallelIterator, ParallelSliceMut, for_each};
use crate::kernel::cpu::transpose::Transpose;

impl Conv2d {
    /// Runs `work` on the bias of each pixel, `[P][pitch]`, or `[O][P]` without a pitch.
    pub(super) fn with_border_channel<T: Scratch>(
        &self,
        w: &[T],
        bias: Option<&[T]>,
        pitch: Option<usize>,
        work: impl FnOnce(Bias<'_, T>),
    ) {
        let (ConvShape { outputs, .. }, pixels) = (self.shape, self.pixels());
        let width = pitch.unwrap_or_else(|| outputs.next_multiple_of(LANES));
        let turned = if pitch.is_none() { outputs * pixels } else { 0 };
        let taps = self.taps();
        // Not the scratch memory of the thread: with many outputs it is as large as an image of
        // results.
        let mut zeros = Aligned::zeros((1 + taps + pixels) * width + turned);
        let mut rest = &mut zeros[..];
        let start = cut(&mut rest, width);
        let weights = cut(&mut rest, taps * width);
        let map = cut(&mut rest, pixels * width);
        if let Some(bias) = bias {
            start[..outputs].copy_from_slice(bias);
        }
        for (o, w) in w.chunks_exact(self.weight_stride()).enumerate() {
            for (tap, &w) in w[w.len() - taps..].iter().enumerate() {
                weights[tap * width + o] = w;
            }
        }
        self.set.dispatch(Map { conv: *self, start, weights, map, width });
        if pitch.is_some() {
            return work(Bias::Pixels(map));
        }
        self.set.dispatch(Transpose {
            x: map,
            rows: pixels,
            columns: outputs,
            stride: width,
            out: rest,
        });
        work(Bias::Pixels(rest));
    }

    /// Number of taps of the kernel.
    fn taps(&self) -> usize {
        let [kh, kw] = self.shape.kernel;
        kh * kw
    }

    /// The pixels for which a tap of the kernel lies inside of the image: rows and columns.
    fn inside(&self, tap: usize) -> [Range<usize>; 2] {
        let ConvShape { height, width, kernel: [kh, kw], .. } = self.shape;
        let along = |place: usize, side: usize, length: usize| {
            let (before, past) = ((side / 2).saturating_sub(place), place.saturating_sub(side / 2));
            before.min(length)..length.saturating_sub(past).max(before.min(length))
        };
        [along(tap / kw, kh, height), along(tap % kw, kw, width)]
    }

    /// Gradients of the bias and of the border channel's weights, which are the last of each
    /// output.
    pub(super) fn border_gradient<T: Scratch>(
        &self,
        gy: &[T],
        gb: Option<&mut [T]>,
        gw: Option<&mut [T]>,
    ) {
        let (ConvShape { batch, outputs, .. }, pixels, taps) =
            (self.shape, self.pixels(), self.taps());
        if gy.is_empty() {
            gb.into_iter().for_each(|gb| gb.fill(T::zero()));
            let rows = gw.into_iter().flat_map(|gw| gw.chunks_exact_mut(self.weight_stride()));
            return rows.for_each(|gw| gw[self.weight_stride() - taps..].fill(T::zero()));
        }
        T::with_scratch(outputs * (1 + taps), |found| {
            let tasks = found.par_chunks_exact_mut(1 + taps).enumerate();
            for_each(tasks, SUMMING.times(batch * pixels), |(output, found)| {
                T::with_scratch(pixels, |sum| {
                    sum.fill(T::zero());
                    for gy in gy.chunks_exact(outputs * pixels) {
                        self.set.dispatch(Add { sum, elements: &gy[output * pixels..][..pixels] });
                    }
                    found[0] = lane_sum(sum);
                    for (tap, found) in found[1..].iter_mut().enumerate() {
                        *found = self.outside(tap, sum);
                    }
                });
            });
            let found = || found.chunks_exact(1 + taps);
            if let Some(gb) = gb {
                gb.iter_mut().zip(found()).for_each(|(gb, found)| *gb = found[0]);
            }
            if let Some(gw) = gw {
                for (gw, found) in gw.chunks_exact_mut(self.weight_stride()).zip(found()) {
                    let own = gw.len() - taps;
                    gw[own..].copy_from_slice(&found[1..]);
                }
            }
        });
    }

    /// The sum over the pixels for which a tap of the kernel lies outside.
    fn outside<T: Real>(&self, tap: usize, image: &[T]) -> T {
        let [rows, columns] = self.inside(tap);
        let mut sum = T::zero();
        for (y, row) in image.chunks_exact(self.shape.width).enumerate() {
            let columns = if rows.contains(&y) { columns.clone() } else { 0..0 };
            sum += row[..columns.start].iter().chain(&row[columns.end..]).copied().sum();
        }
        sum
    }
}

/// The bias of each pixel, `[P][width]`.
struct Map<'a, T> {
    conv: Conv2d,
    /// The bias of a pixel away from the border.
    start: &'a [T],
    /// `[kh·kw][width]`.
    weights: &'a [T],
    map: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Map<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { conv, start, weights, map, width } = self;
        let columns = conv.shape.width;
        for row in map.chunks_exact_mut(width) {
            row.copy_from_slice(start);
        }
        for (tap, weights) in weights.chunks_exact(width).enumerate() {
            let [inside_rows, inside_columns] = conv.inside(tap);
            for (y, row) in map.chunks_exact_mut(columns * width).enumerate() {
                let inside = if inside_rows.contains(&y) { inside_columns.clone() } else { 0..0 };
                for x in (0..inside.start).chain(inside.end..columns) {
                    for (bias, &weight) in row[x * width..][..width].iter_mut().zip(weights) {
                        *bias += weight;
                    }
                }
            }
        }
    }
}

/// Adds elements to sums.
struct Add<'a, T> {
    sum: &'a mut [T],
    elements: &'a [T],
}

impl<T: Real> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        for (sum, &number) in self.sum.iter_mut().zip(self.elements) {
            *sum += number;
        }
    }
}
