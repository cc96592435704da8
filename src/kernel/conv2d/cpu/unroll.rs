//! Channels of an image, with the activation, copied once for each column of the kernel.
//! ```text
//! out[c, s, r·W + j] = v[c, first + r − kh/2, j + s − kw/2]        0 outside of the image
//! ```

use std::ops::Range;

use super::PreActivation;
use crate::kernel::concat_elu::cpu::EluPairs;
use crate::kernel::cpu::simd::{InstructionSet, Real};

/// Images to unroll.
#[derive(Debug, Clone, Copy)]
pub struct Unroll {
    pub height: usize,
    pub width: usize,
    pub kernel: [usize; 2],
    pub activation: PreActivation,
    pub set: InstructionSet,
}

impl Unroll {
    /// Number of elements of one copy of `rows` rows, including the rows above and below that the
    /// kernel covers.
    pub fn plane(&self, rows: usize) -> usize {
        (rows + self.kernel[0] - 1) * self.width
    }

    /// Unrolls channels for the output rows `rows`. `channels` holds their elements before the
    /// activation, one image plane for each channel. `out` gets [`PreActivation::factor`] times as
    /// many channels, with `kw` planes each.
    pub fn run<T: Real>(&self, channels: &[T], rows: Range<usize>, out: &mut [T]) {
        let [kh, kw] = self.kernel;
        let (above, side) = (kh / 2, kw / 2);
        // The rows of the image, and the row of the plane at which the first of them lies.
        let (first, last) = (rows.start.saturating_sub(above), (rows.end + above).min(self.height));
        let offset = first + above - rows.start;
        let (start, length) = (offset * self.width, (last - first) * self.width);
        let plane = self.plane(rows.len());
        let factor = self.activation.factor();
        let images = channels.chunks_exact(self.height * self.width);
        for (image, copies) in images.zip(out.chunks_exact_mut(factor * kw * plane)) {
            let image = &image[first * self.width..last * self.width];
            for copies in copies.chunks_exact_mut(kw * plane) {
                let centre = &mut copies[side * plane..(side + 1) * plane];
                centre[..start].fill(T::zero());
                centre[start + length..].fill(T::zero());
            }
            match self.activation {
                PreActivation::Identity => {
                    copies[side * plane + start..][..length].copy_from_slice(image)
                }
                PreActivation::ConcatElu => {
                    let (positive, negative) = copies.split_at_mut(kw * plane);
                    let within = side * plane + start..side * plane + start + length;
                    let (positive, negative) =
                        (&mut positive[within.clone()], &mut negative[within]);
                    self.set.dispatch(EluPairs { x: image, positive, negative });
                }
            }
            for copies in copies.chunks_exact_mut(kw * plane) {
                self.shift(copies, plane);
            }
        }
    }

    /// Makes the shifted copies of a channel from the copy in the middle.
    fn shift<T: Real>(&self, copies: &mut [T], plane: usize) {
        let side = self.kernel[1] / 2;
        let (left, rest) = copies.split_at_mut(side * plane);
        let (centre, right) = rest.split_at_mut(plane);
        for (s, copy) in left.chunks_exact_mut(plane).enumerate() {
            let by = (side - s).min(self.width);
            copy[by..].copy_from_slice(&centre[..plane - by]);
            for row in copy.chunks_exact_mut(self.width) {
                row[..by].fill(T::zero());
            }
        }
        for (s, copy) in right.chunks_exact_mut(plane).enumerate() {
            let by = (s + 1).min(self.width);
            copy[..plane - by].copy_from_slice(&centre[by..]);
            for row in copy.chunks_exact_mut(self.width) {
                row[self.width - by..].fill(T::zero());
            }
        }
    }
}
