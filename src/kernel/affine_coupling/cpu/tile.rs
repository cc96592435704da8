//! Elements that are processed at once: elements of one example if it has enough of them, otherwise
//! elements of neighbouring examples.

use crate::kernel::cpu::remainder::{load, store};
use crate::kernel::cpu::simd::{LANES, Lanes, Real};

/// Up to [`LANES`] of the transformed elements.
#[derive(Debug, Clone, Copy)]
pub struct Tile {
    example: [usize; LANES],
    offset: [usize; LANES],
    count: usize,
    /// Whether they are contiguous.
    dense: bool,
}

impl Tile {
    /// Number of tiles for `examples` examples of `dims` elements.
    pub fn number(examples: usize, dims: usize) -> usize {
        if dims >= LANES {
            examples * dims.div_ceil(LANES)
        } else {
            (examples * dims).div_ceil(LANES)
        }
    }

    /// The tile with this index; `dims ≥ 1`.
    #[inline(always)]
    pub fn new(index: usize, examples: usize, dims: usize) -> Self {
        if dims >= LANES {
            let per_example = dims.div_ceil(LANES);
            let (example, offset) = (index / per_example, index % per_example * LANES);
            let count = if dims - offset < LANES { dims - offset } else { LANES };
            return Self { example: [example; LANES], offset: [offset; LANES], count, dense: true };
        }
        let (first, total) = (index * LANES, examples * dims);
        let count = if total - first < LANES { total - first } else { LANES };
        let mut tile = Self { example: [0; LANES], offset: [0; LANES], count, dense: false };
        let (mut example, mut offset) = (first / dims, first % dims);
        for lane in 0..LANES {
            (tile.example[lane], tile.offset[lane]) = (example, offset);
            offset += 1;
            if offset == dims {
                (example, offset) = (example + 1, 0);
            }
        }
        tile
    }

    /// Element `start + offset` of each example; an example has `row` elements. 0 beyond the last.
    #[inline(always)]
    pub fn read<T: Real>(&self, elements: &[T], row: usize, start: usize) -> Lanes<T> {
        if self.dense {
            let from = self.example[0] * row + start + self.offset[0];
            let elements = &elements[from..from + self.count];
            return match elements.first_chunk::<LANES>() {
                Some(chunk) => *chunk,
                None => load(elements),
            };
        }
        let mut lanes = [T::zero(); LANES];
        for lane in 0..self.count {
            lanes[lane] = elements[self.example[lane] * row + start + self.offset[lane]];
        }
        lanes
    }

    /// Writes where [`Tile::read`] reads.
    #[inline(always)]
    pub fn write<T: Real>(&self, lanes: &Lanes<T>, elements: &mut [T], row: usize, start: usize) {
        if self.dense {
            let from = self.example[0] * row + start + self.offset[0];
            let elements = &mut elements[from..from + self.count];
            match elements.first_chunk_mut::<LANES>() {
                Some(chunk) => *chunk = *lanes,
                None => store(lanes, elements),
            }
            return;
        }
        for lane in 0..self.count {
            elements[self.example[lane] * row + start + self.offset[lane]] = lanes[lane];
        }
    }

    /// The value that belongs to the example of each element.
    #[inline(always)]
    pub fn spread<T: Real>(&self, examples: &[T]) -> Lanes<T> {
        if self.dense {
            return [examples[self.example[0]]; LANES];
        }
        let mut lanes = [T::zero(); LANES];
        for lane in 0..self.count {
            lanes[lane] = examples[self.example[lane]];
        }
        lanes
    }

    /// Adds each element to the value of its example.
    #[inline(always)]
    pub fn gather<T: Real>(&self, lanes: &Lanes<T>, examples: &mut [T]) {
        if self.dense {
            let mut sum = T::zero();
            for &lane in &lanes[..self.count] {
                sum += lane;
            }
            examples[self.example[0]] += sum;
            return;
        }
        for lane in 0..self.count {
            examples[self.example[lane]] += lanes[lane];
        }
    }
}
