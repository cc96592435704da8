//! Tiles: some positions of all channels.

use crate::kernel::cpu::simd::{MultiplyAdd, Real};

/// Positions of a tile: four vectors of f32 in AVX-512.
pub const TILE: usize = 64;

/// The elements of one channel at the positions of a tile.
pub type Tile<T> = [T; TILE];

/// Up to [`TILE`] elements, followed by zeros.
#[inline(always)]
pub fn read<T: Real>(elements: &[T]) -> Tile<T> {
    if let Some(tile) = elements.first_chunk() {
        return *tile;
    }
    let mut tile = [T::zero(); TILE];
    tile[..elements.len()].copy_from_slice(elements);
    tile
}

/// Stores as many of the elements as the slice has room for.
#[inline(always)]
pub fn write<T: Real>(tile: &Tile<T>, elements: &mut [T]) {
    if let Some(elements) = elements.first_chunk_mut() {
        *elements = *tile;
        return;
    }
    let length = elements.len();
    elements.copy_from_slice(&tile[..length]);
}

/// Copies the elements of an example at `width` positions from `start` on. `tiles` has one tile for
/// each channel.
#[inline(always)]
pub fn gather<T: Real>(
    x: &[T],
    positions: usize,
    start: usize,
    width: usize,
    tiles: &mut [Tile<T>],
) {
    for (tile, x) in tiles.iter_mut().zip(x.chunks_exact(positions)) {
        *tile = read(&x[start..start + width]);
    }
}

/// Centres the tiles over the channels and returns `1/√(var + ε)`.
#[inline(always)]
pub fn centre<T: Real, M: MultiplyAdd>(tiles: &mut [Tile<T>], epsilon: T) -> Tile<T> {
    let share = T::of(1.0 / tiles.len() as f64);
    let mut mean = [T::zero(); TILE];
    for tile in tiles.iter() {
        for lane in 0..TILE {
            mean[lane] += tile[lane];
        }
    }
    for mean in &mut mean {
        *mean *= share;
    }
    let mut scale = [T::zero(); TILE];
    for tile in tiles.iter_mut() {
        for lane in 0..TILE {
            tile[lane] -= mean[lane];
            scale[lane] = M::mul_add(tile[lane], tile[lane], scale[lane]);
        }
    }
    for scale in &mut scale {
        *scale = T::one() / M::mul_add(*scale, share, epsilon).sqrt();
    }
    scale
}
