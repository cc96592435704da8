//! Images in which the channels of a pixel are contiguous, so that a vector holds them.

use crate::kernel::cpu::simd::{Kernel, LANES, MultiplyAdd, Real};

/// Channels of a pixel, in one part or in the two that `concat_elu` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Number of channels of a part.
    pub n: usize,
    pub parts: usize,
}

impl Channels {
    /// Number of channels of all parts.
    pub fn total(&self) -> usize {
        self.n * self.parts
    }

    /// Elements from a pixel to the next in the image of a part: whole vectors. The elements after
    /// the channels are arbitrary.
    pub fn pitch(&self) -> usize {
        self.n.next_multiple_of(LANES)
    }

    /// Elements from a tile to the next. The parts of a tile are contiguous, and whole vectors fit
    /// from the start of each part.
    pub fn stride(&self) -> usize {
        ((self.parts - 1) * self.n + self.pitch()).next_multiple_of(LANES)
    }
}

/// Elements from a place to the next, for `elements` of them in each place: an odd number of whole
/// vectors. Places that are a power of two apart would share a set of the cache, which has fewer
/// ways than there are places.
pub fn step(elements: usize) -> usize {
    ((elements / LANES) | 1) * LANES
}

/// `out[p, c] = x[c, p]`.
pub struct ToPixels<'a, T> {
    /// The planes of the channels are `stride` apart.
    pub x: &'a [T],
    pub stride: usize,
    pub channels: usize,
    pub pixels: usize,
    pub out: &'a mut [T],
    pub pitch: usize,
}

impl<T: Real> Kernel for ToPixels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, stride, channels, pixels, out, pitch } = self;
        for start in (0..pixels).step_by(PIXELS) {
            let n = PIXELS.min(pixels - start);
            let out = &mut out[start * pitch..];
            for c in (0..channels).step_by(SIDE) {
                // Channels beyond the last repeat the last one.
                let mut rows = [x; SIDE];
                for (k, row) in rows.iter_mut().enumerate() {
                    *row = &x[(c + k).min(channels - 1) * stride + start..][..n];
                }
                let mut done = 0;
                while done + SIDE <= n {
                    let mut block = [[T::zero(); SIDE]; SIDE];
                    for k in 0..SIDE {
                        block[k].copy_from_slice(&rows[k][done..done + SIDE]);
                    }
                    let block = transposed(&block);
                    for k in 0..SIDE {
                        out[(done + k) * pitch + c..][..SIDE].copy_from_slice(&block[k]);
                    }
                    done += SIDE;
                }
                for p in done..n {
                    for k in 0..SIDE {
                        out[p * pitch + c + k] = rows[k][p];
                    }
                }
            }
        }
    }
}

/// `out[c][start + p] = x[p, c]`.
pub struct FromPixels<'a, 'b, T> {
    pub x: &'a [T],
    pub pitch: usize,
    pub start: usize,
    /// The pixels of each channel.
    pub out: &'a mut [&'b mut [T]],
}

impl<T: Real> Kernel for FromPixels<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, pitch, start: offset, out } = self;
        let pixels = x.len() / pitch;
        for start in (0..pixels).step_by(PIXELS) {
            let n = PIXELS.min(pixels - start);
            let (x, start) = (&x[start * pitch..], offset + start);
            for (block, out) in out.chunks_mut(SIDE).enumerate() {
                let c = block * SIDE;
                let mut done = 0;
                if let [first, second, third, fourth] = out {
                    let (first, second) =
                        (&mut first[start..start + n], &mut second[start..start + n]);
                    let (third, fourth) =
                        (&mut third[start..start + n], &mut fourth[start..start + n]);
                    while done + SIDE <= n {
                        let mut block = [[T::zero(); SIDE]; SIDE];
                        for k in 0..SIDE {
                            block[k].copy_from_slice(&x[(done + k) * pitch + c..][..SIDE]);
                        }
                        let block = transposed(&block);
                        first[done..done + SIDE].copy_from_slice(&block[0]);
                        second[done..done + SIDE].copy_from_slice(&block[1]);
                        third[done..done + SIDE].copy_from_slice(&block[2]);
                        fourth[done..done + SIDE].copy_from_slice(&block[3]);
                        done += SIDE;
                    }
                }
                for p in done..n {
                    for (k, out) in out.iter_mut().enumerate() {
                        out[start + p] = x[p * pitch + c + k];
                    }
                }
            }
        }
    }
}

/// Pixels of which all channels are transposed, one block of channels after the other: a block
/// fills only a part of a pixel's cache line.
const PIXELS: usize = 128;
/// Side of the blocks that are transposed. The compiler turns blocks of this size into shuffles; it
/// would scatter the elements of larger ones.
const SIDE: usize = 4;

#[inline(always)]
fn transposed<T: Real>([a, b, c, d]: &[[T; SIDE]; SIDE]) -> [[T; SIDE]; SIDE] {
    [0, 1, 2, 3].map(|k| [a[k], b[k], c[k], d[k]])
}
