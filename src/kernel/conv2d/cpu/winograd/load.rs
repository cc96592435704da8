//! Transforms images to the places of their tiles.

use super::grid::{Chunk, Grid};
use super::layout::{Channels, ToPixels};
use super::tiles::{Layout, OfPixels};
use crate::kernel::concat_elu::cpu::EluPairs;
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::InstructionSet;

/// Places of tiles: the elements of one place from some tile on; those of the next place are `step`
/// elements further on.
#[derive(Debug)]
pub struct Places<N> {
    pub elements: N,
    pub step: usize,
}

/// Transforms the images of a chunk to places.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    pub set: InstructionSet,
    pub grid: Grid,
    /// Channels after the activation: two parts if it is `concat_elu`.
    pub channels: Channels,
    pub chunk: &'a Chunk,
}

impl Load<'_> {
    /// Number of scratch elements that [`Load::run`] uses.
    pub fn scratch(grid: &Grid, channels: Channels) -> usize {
        let images = if channels.parts == 2 { 3 } else { 1 };
        (images * grid.most_pixels() + grid.width) * channels.pitch()
    }

    /// Transforms the channels of an image, which are successive planes.
    pub fn run<T: Scratch>(&self, x: &[T], places: Places<&mut [T]>, mut scratch: &mut [T]) {
        let Self { set, grid, channels, chunk } = *self;
        let rows = grid.rows_met(chunk);
        let (pitch, pixels) = (channels.pitch(), rows.len() * grid.width);
        let zeros = cut(&mut scratch, grid.width * pitch);
        zeros.fill(T::zero());
        let image = cut(&mut scratch, pixels * pitch);
        let x = &x[rows.start * grid.width..];
        set.dispatch(ToPixels {
            x,
            stride: grid.pixels(),
            channels: channels.n,
            pixels,
            out: image,
            pitch,
        });
        let Places { elements: places, step } = places;
        let (height, width, stride) = (grid.height, grid.width, channels.stride());
        let layout = Layout { height, width, first: rows.start, pitch, stride, step };
        let rows = chunk.rows.clone();
        if channels.parts == 1 {
            set.dispatch(OfPixels { layout, image, zeros, rows, places });
            return;
        }
        let (positive, negative) =
            (cut(&mut scratch, pixels * pitch), cut(&mut scratch, pixels * pitch));
        set.dispatch(EluPairs { x: image, positive, negative });
        set.dispatch(OfPixels { layout, image: positive, zeros, rows: rows.clone(), places });
        // Written after the first part, whose last vector may reach into this one.
        set.dispatch(OfPixels {
            layout,
            image: negative,
            zeros,
            rows,
            places: &mut places[channels.n..],
        });
    }
}
