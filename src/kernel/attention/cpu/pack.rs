//! Copies of matrices `[channels, positions]` in the order in which the products read them.
//!
//! They are written to buffers that are reused for one head after the other: new pages for each
//! head would take a sixth of the time.

use crate::kernel::cpu::simd::Real;

use super::tile::{Panel, Row, TILE, WIDTH, splat};

/// Sets the length of a buffer and fills it with `value`.
#[inline(always)]
pub fn fill<T: Copy>(buffer: &mut Vec<T>, len: usize, value: T) {
    buffer.clear();
    buffer.resize(len, value);
}

/// For each [`TILE`] positions, for each channel, the elements times `scale`. Zeros follow the last
/// position.
#[inline(always)]
pub fn rows_of_positions<T: Real>(
    packed: &mut Vec<Row<T>>,
    matrix: &[T],
    n_positions: usize,
    scale: T,
) {
    let n_channels = matrix.len() / n_positions;
    fill(packed, n_positions.div_ceil(TILE) * n_channels, [T::zero(); TILE]);
    for (channel, elements) in matrix.chunks_exact(n_positions).enumerate() {
        for (block, elements) in elements.chunks(TILE).enumerate() {
            for (to, &from) in packed[block * n_channels + channel].iter_mut().zip(elements) {
                *to = from * scale;
            }
        }
    }
}

/// For each [`TILE`] channels, for each position, the elements times `scale`. Zeros follow the last
/// channel.
#[inline(always)]
pub fn rows_of_channels<T: Real>(
    packed: &mut Vec<Row<T>>,
    matrix: &[T],
    n_positions: usize,
    scale: T,
) {
    let n_channels = matrix.len() / n_positions;
    fill(packed, n_channels.div_ceil(TILE) * n_positions, [T::zero(); TILE]);
    for (channel, elements) in matrix.chunks_exact(n_positions).enumerate() {
        let block = &mut packed[channel / TILE * n_positions..][..n_positions];
        for (to, &from) in block.iter_mut().zip(elements) {
            to[channel % TILE] = from * scale;
        }
    }
}

/// For each [`WIDTH`] positions, for each of `n_channels` channels, the elements. Zeros follow the
/// last position and the last channel of the matrix.
#[inline(always)]
pub fn panels<T: Real>(
    packed: &mut Vec<Panel<T>>,
    matrix: &[T],
    n_positions: usize,
    n_channels: usize,
) {
    fill(packed, n_positions.div_ceil(WIDTH) * n_channels, splat(T::zero()));
    for (channel, elements) in matrix.chunks_exact(n_positions).enumerate() {
        for (block, elements) in elements.chunks(WIDTH).enumerate() {
            let panel = packed[block * n_channels + channel].0.as_flattened_mut();
            panel[..elements.len()].copy_from_slice(elements);
        }
    }
}

/// Inverse of [`panels`].
#[inline(always)]
pub fn unpack<T: Copy>(
    packed: &[Panel<T>],
    n_channels: usize,
    matrix: &mut [T],
    n_positions: usize,
) {
    for (channel, elements) in matrix.chunks_exact_mut(n_positions).enumerate() {
        for (block, elements) in elements.chunks_mut(WIDTH).enumerate() {
            let panel = packed[block * n_channels + channel].0.as_flattened();
            elements.copy_from_slice(&panel[..elements.len()]);
        }
    }
}
