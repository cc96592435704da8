//! Transforms tiles of an image to places and back.

use std::ops::Range;

use super::transform::{of_pixels, of_results, to_results};
use crate::kernel::conv2d::cpu::bias_and_epilogue::{Bias, rectified};
use crate::kernel::cpu::remainder::load;
use crate::kernel::cpu::simd::{Kernel, LANES, Lanes, MultiplyAdd, Real};
use crate::kernel::epilogue::Epilogue;

/// Tiles of a part of an image, and the layout of their places.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub height: usize,
    pub width: usize,
    /// First row of the image that is present.
    pub first: usize,
    /// Channels, in whole vectors: elements from a pixel to the next.
    pub pitch: usize,
    /// Elements from a tile to the next.
    pub stride: usize,
    /// Elements from a place to the next.
    pub step: usize,
}

/// `Bᵀ d B` of tiles of 4x4 pixels.
pub struct OfPixels<'a, T> {
    pub layout: Layout,
    pub image: &'a [T],
    /// A row of zeros.
    pub zeros: &'a [T],
    pub rows: Range<usize>,
    /// Starts at the first tile.
    pub places: &'a mut [T],
}

impl<T: Real> Kernel for OfPixels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { layout, image, zeros, rows, places } = self;
        let Layout { height, width, first, pitch, stride, step } = layout;
        let columns = width.div_ceil(2);
        for (index, row) in rows.enumerate() {
            let mut met = [zeros; 4];
            for (r, met) in met.iter_mut().enumerate() {
                let y = (2 * row + r).wrapping_sub(1);
                if y < height {
                    *met = &image[(y - first) * width * pitch..][..width * pitch];
                }
            }
            for c in (0..pitch).step_by(LANES) {
                let (mut left, mut centre) = ([[T::zero(); LANES]; 4], of_column(&met, c));
                for x in 0..columns {
                    let (mut right, mut beyond) =
                        ([[T::zero(); LANES]; 4], [[T::zero(); LANES]; 4]);
                    if 2 * x + 1 < width {
                        right = of_column(&met, (2 * x + 1) * pitch + c);
                    }
                    if 2 * x + 2 < width {
                        beyond = of_column(&met, (2 * x + 2) * pitch + c);
                    }
                    let at = (index * columns + x) * stride + c;
                    for r in 0..4 {
                        for (s, place) in
                            of_pixels(&[left[r], centre[r], right[r], beyond[r]]).iter().enumerate()
                        {
                            places[(4 * r + s) * step + at..][..LANES].copy_from_slice(place);
                        }
                    }
                    (left, centre) = (right, beyond);
                }
            }
        }
    }
}

/// `Bᵀ d` of a column of pixels.
#[inline(always)]
fn of_column<T: Real>(rows: &[&[T]; 4], at: usize) -> [Lanes<T>; 4] {
    let mut d = [[T::zero(); LANES]; 4];
    for r in 0..4 {
        d[r].copy_from_slice(&rows[r][at..][..LANES]);
    }
    of_pixels(&d)
}

/// `A g Aᵀ` of tiles of 2x2 gradients.
pub struct OfResults<'a, T> {
    pub layout: Layout,
    pub image: &'a [T],
    pub rows: Range<usize>,
    /// Starts at the first tile.
    pub places: &'a mut [T],
}

impl<T: Real> Kernel for OfResults<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { layout, image, rows, places } = self;
        let Layout { height, width, first, pitch, stride, step } = layout;
        let columns = width.div_ceil(2);
        for (index, row) in rows.enumerate() {
            for x in 0..columns {
                for c in (0..pitch).step_by(LANES) {
                    let mut g = [[[T::zero(); LANES]; 2]; 2];
                    for (s, g) in g.iter_mut().enumerate() {
                        for (r, g) in g.iter_mut().enumerate() {
                            let (y, x) = (2 * row + r, 2 * x + s);
                            if y < height && x < width {
                                g.copy_from_slice(
                                    &image[((y - first) * width + x) * pitch + c..][..LANES],
                                );
                            }
                        }
                    }
                    let left = of_results(&g[0]);
                    let right = of_results(&g[1]);
                    let at = (index * columns + x) * stride + c;
                    for r in 0..4 {
                        for (s, place) in of_results(&[left[r], right[r]]).iter().enumerate() {
                            places[(4 * r + s) * step + at..][..LANES].copy_from_slice(place);
                        }
                    }
                }
            }
        }
    }
}

/// `Aᵀ m A`, a bias and a ReLU: tiles of 2x2 results.
pub struct ToResults<'a, T> {
    pub layout: Layout,
    /// Starts at the first tile.
    pub places: &'a [T],
    /// The bias of pixels, `[P][pitch]`.
    pub bias: Bias<'a, T>,
    pub epilogue: Epilogue,
    pub rows: Range<usize>,
    pub image: &'a mut [T],
}

impl<T: Real> Kernel for ToResults<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { layout, places, bias, epilogue, rows, image } = self;
        let Layout { height, width, first, pitch, stride, step } = layout;
        let columns = width.div_ceil(2);
        for (index, row) in rows.enumerate() {
            for c in (0..pitch).step_by(LANES) {
                let everywhere = if let Bias::Outputs(bias) = bias {
                    load(&bias[c..])
                } else {
                    [T::zero(); LANES]
                };
                for x in 0..columns {
                    let at = (index * columns + x) * stride + c;
                    let mut half = [[[T::zero(); LANES]; 4]; 2];
                    for s in 0..4 {
                        let mut m = [[T::zero(); LANES]; 4];
                        for (r, m) in m.iter_mut().enumerate() {
                            m.copy_from_slice(&places[(4 * r + s) * step + at..][..LANES]);
                        }
                        [half[0][s], half[1][s]] = to_results(&m);
                    }
                    for (r, half) in half.iter().enumerate() {
                        for (s, result) in to_results(half).iter_mut().enumerate() {
                            let (y, x) = (2 * row + r, 2 * x + s);
                            if y < height && x < width {
                                let mut here = everywhere;
                                if let Bias::Pixels(bias) = bias {
                                    here.copy_from_slice(
                                        &bias[(y * width + x) * pitch + c..][..LANES],
                                    );
                                }
                                for lane in 0..LANES {
                                    result[lane] += here[lane];
                                }
                                if epilogue == Epilogue::Relu {
                                    *result = result.map(rectified);
                                }
                                image[((y - first) * width + x) * pitch + c..][..LANES]
                                    .copy_from_slice(result);
                            }
                        }
                    }
                }
            }
        }
    }
}
