//! Tiles of images, and the chunks of tiles that tasks compute.

use std::ops::Range;

use crate::kernel::cpu::tasks::pieces;

/// Approximate largest number of tiles of a chunk.
const TILES: usize = 128;
/// Approximate number of elements that a chunk holds for each place, on both sides: more would not
/// fit into the second-level cache.
const NUMBERS: usize = 16_384;
/// Approximate smallest number of tiles to which chunks shrink so that there are enough tasks:
/// products of fewer rows are slow.
const FEWEST: usize = 32;

/// Images cut into tiles of 2x2 pixels. The last row and column of tiles may extend beyond the
/// image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    pub height: usize,
    pub width: usize,
    /// Number of images of a chunk. A chunk of several images has all of their rows.
    images: usize,
    /// Number of rows of tiles of a chunk.
    rows: usize,
}

/// Some rows of tiles of some images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub images: Range<usize>,
    /// Rows of tiles.
    pub rows: Range<usize>,
}

impl Grid {
    /// The grid for a batch of images with `inputs` and `outputs` channels.
    pub fn new(batch: usize, height: usize, width: usize, [inputs, outputs]: [usize; 2]) -> Self {
        let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
        let tiles = rows * columns;
        let channels = inputs + outputs;
        // Every chunk reads the weights again, so they should be at most half of what a chunk
        // holds.
        let fit = (NUMBERS / channels).max(2 * inputs * outputs / channels);
        let most = (batch * tiles / pieces(1)).min(fit).clamp(FEWEST, TILES);
        let images = (most / tiles).clamp(1, batch.max(1));
        let parts = tiles.div_ceil(most).min(rows);
        Self { height, width, images, rows: rows.div_ceil(parts) }
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Number of columns of tiles.
    pub fn columns(&self) -> usize {
        self.width.div_ceil(2)
    }

    /// Largest number of tiles of a chunk.
    pub fn most_tiles(&self) -> usize {
        self.images * self.rows * self.columns()
    }

    /// Largest number of pixels of an image in a chunk, with the rows above and below it.
    pub fn most_pixels(&self) -> usize {
        (2 * self.rows + 2).min(self.height) * self.width
    }

    /// Number of tiles of an image in a chunk.
    pub fn tiles(&self, chunk: &Chunk) -> usize {
        chunk.rows.len() * self.columns()
    }

    /// Rows of pixels of a chunk.
    pub fn rows(&self, chunk: &Chunk) -> Range<usize> {
        2 * chunk.rows.start..(2 * chunk.rows.end).min(self.height)
    }

    /// The rows of pixels of a chunk and their neighbours that the kernel covers.
    pub fn rows_met(&self, chunk: &Chunk) -> Range<usize> {
        (2 * chunk.rows.start).saturating_sub(1)..(2 * chunk.rows.end + 1).min(self.height)
    }

    /// The chunks of a batch.
    pub fn chunks(&self, batch: usize) -> Vec<Chunk> {
        let total = self.height.div_ceil(2);
        let mut chunks = Vec::new();
        for first in (0..batch).step_by(self.images) {
            for row in (0..total).step_by(self.rows) {
                let images = first..(first + self.images).min(batch);
                chunks.push(Chunk { images, rows: row..(row + self.rows).min(total) });
            }
        }
        chunks
    }

    /// The chunks of a batch, each with the part of the images that belongs to it: a slice of
    /// pixels for each image and channel.
    pub fn cut<'a, T>(&self, data: &'a mut [T], batch: usize) -> Vec<(Chunk, Vec<&'a mut [T]>)> {
        let channels = data.len() / (batch * self.pixels());
        let chunks = self.chunks(batch);
        let mut cut: Vec<(Chunk, Vec<&'a mut [T]>)> =
            chunks.into_iter().map(|chunk| (chunk, Vec::new())).collect();
        let of_images = cut.chunks_mut(self.height.div_ceil(2).div_ceil(self.rows));
        for (data, chunks) in data.chunks_mut(self.images * channels * self.pixels()).zip(of_images)
        {
            for mut rest in data.chunks_exact_mut(self.pixels()) {
                for (chunk, slices) in &mut *chunks {
                    let (slice, following) = rest.split_at_mut(self.rows(chunk).len() * self.width);
                    slices.push(slice);
                    rest = following;
                }
            }
        }
        cut
    }
}
