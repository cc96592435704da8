//! Transposition of matrices.

use super::simd::{Kernel, LANES, MultiplyAdd, Real};

/// `out[j, i] = x[i, j]`. `out` has no gaps; the rows of `x` start `stride` elements apart.
///
/// Works tile by tile, so that both sides are read and written in runs of [`LANES`].
pub struct Transpose<'a, T> {
    pub x: &'a [T],
    pub rows: usize,
    pub columns: usize,
    pub stride: usize,
    pub out: &'a mut [T],
}

impl<T: Real> Kernel for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, rows, columns, stride, out } = self;
        for i in (0..rows).step_by(LANES) {
            let height = LANES.min(rows - i);
            for j in (0..columns).step_by(LANES) {
                let width = LANES.min(columns - j);
                let mut tile = [[T::zero(); LANES]; LANES];
                if height == LANES && width == LANES {
                    for lane in 0..LANES {
                        tile[lane].copy_from_slice(&x[(i + lane) * stride + j..][..LANES]);
                    }
                    for k in 0..LANES {
                        let mut column = [T::zero(); LANES];
                        for lane in 0..LANES {
                            column[lane] = tile[lane][k];
                        }
                        out[(j + k) * rows + i..][..LANES].copy_from_slice(&column);
                    }
                    continue;
                }
                for (lane, tile) in tile[..height].iter_mut().enumerate() {
                    tile[..width].copy_from_slice(&x[(i + lane) * stride + j..][..width]);
                }
                for k in 0..width {
                    for (out, tile) in out[(j + k) * rows + i..][..height].iter_mut().zip(&tile) {
                        *out = tile[k];
                    }
                }
            }
        }
    }
}
