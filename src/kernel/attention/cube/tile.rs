//! Tiles in shared memory, and the two products of them that attention consists of.
//!
//! A tile has [`SIDE`] rows of [`SIDE`] positions. The units of a cube stand in a square of
//! [`LANES`] by [`LANES`]. Unit `(x, y)` computes the elements of a product in the columns
//! `x + 8a` and the rows `y + 8b`: neighbouring units read neighbouring elements, and each number
//! that a unit reads from shared memory takes part in four multiply-adds or as many as there are
//! rows.

use cubecl::prelude::*;

/// Positions, and at most as many channels, of a tile.
pub const SIDE: usize = 32;

/// Units along one side of the square of units.
pub const LANES: usize = 8;

/// Columns of a tile that one unit computes.
pub const EACH: usize = SIDE / LANES;

/// Units of a cube.
pub const UNITS: usize = LANES * LANES;

/// Distance from one row of a tile to the next: no power of two, so that elements of a column lie
/// in different banks of the shared memory.
const STRIDE: usize = SIDE + 1;

/// Most chunks of channels for which a cube holds sums. It bounds the registers of a unit.
const MAX_CHUNKS: usize = 4;

/// How the channels of a head are divided. A kernel is compiled for each value, of which there are
/// seven.
///
/// A *chunk* is what fits in the rows of a tile, and a *group* is the chunks for which one cube
/// computes results. There is one chunk for up to 32 channels, and one group for up to 128. Each
/// group computes the scores anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Split {
    /// Rows of a chunk that one unit computes; a chunk has eight times as many.
    pub rows: usize,
    /// Chunks of a group.
    pub chunks: usize,
}

impl Split {
    pub fn new(channels: usize) -> Self {
        let rows = channels.min(SIDE).div_ceil(LANES);
        let chunks = channels.div_ceil(rows * LANES).min(MAX_CHUNKS);
        Self { rows, chunks }
    }

    /// Channels of a chunk.
    pub const fn width(self) -> usize {
        self.rows * LANES
    }

    /// Number of groups of a head of so many channels.
    pub const fn n_groups(self, channels: usize) -> usize {
        channels.div_ceil(self.width() * self.chunks)
    }

    /// Results that one unit holds.
    pub const fn held(self) -> usize {
        self.chunks * self.rows * EACH
    }
}

/// What a cube computes.
#[derive(CubeType, Clone, Copy)]
pub struct Block {
    /// The example and the head, `example·heads + head`.
    pub head: usize,
    /// The first position.
    pub start: usize,
    /// The first chunk of its group.
    pub chunk: usize,
    /// Channels of a head.
    pub channels: usize,
    /// Number of positions; 0 in a cube that the grid has in excess, which then does nothing.
    pub positions: usize,
}

/// The block of this cube: blocks of one head follow each other.
#[cube]
pub fn block(channels: u32, positions: u32, cubes: u32, #[comptime] split: Split) -> Block {
    let cube = CUBE_POS as usize;
    let chunks = comptime!(split.chunks);
    let blocks = (positions as usize).div_ceil(SIDE);
    let groups = (channels as usize).div_ceil(comptime!(split.width() * split.chunks));
    let others = cube / blocks;
    Block {
        head: others / groups,
        start: cube % blocks * SIDE,
        chunk: others % groups * chunks,
        channels: channels as usize,
        positions: select(cube < cubes as usize, positions as usize, 0),
    }
}

/// The column of this unit among the units.
#[cube]
pub fn unit_x() -> usize {
    UNIT_POS as usize % LANES
}

/// The row of this unit among the units.
#[cube]
pub fn unit_y() -> usize {
    UNIT_POS as usize / LANES
}

/// Memory for a tile.
#[cube]
pub fn new_tile<N: Float>() -> Shared<[N]> {
    Shared::<[N]>::new_slice(comptime!(SIDE * STRIDE))
}

/// The place of an element in a tile.
#[cube]
pub fn place(row: usize, column: usize) -> usize {
    row * STRIDE + column
}

/// Loads a chunk of channels of one head at the positions from `start`: row `c` of the tile is a
/// channel. `base` is the place of the head's first channel. Elements outside the head are 0.
///
/// Every unit has to call it. It waits until all units have finished with what the tile held, and
/// until they have loaded it.
#[cube]
pub fn load<F: Float, N: Float>(
    tile: &mut Shared<[N]>,
    from: &Tensor<F>,
    base: usize,
    chunk: usize,
    start: usize,
    block: &Block,
    #[comptime] split: Split,
) {
    let width = comptime!(split.width());
    let column = UNIT_POS as usize % SIDE;
    let first = UNIT_POS as usize / SIDE;
    let position = start + column;
    sync_cube();
    for step in 0..comptime!(width * SIDE / UNITS) {
        let row = first + step * comptime!(UNITS / SIDE);
        let channel = chunk * width + row;
        let inside = channel < block.channels && position < block.positions;
        // Outside, an element that exists is read and not used.
        let index = base + channel * block.positions + position;
        let element = N::cast_from(from[select(inside, index, 0)]);
        tile[place(row, column)] = select(inside, element, N::new(0.0));
    }
    sync_cube();
}

/// `sums[b, a] += Σ_c other[c, y + 8b]·own[c, x + 8a]`
#[cube]
pub fn add_inner<N: Float>(
    sums: &mut Array<N>,
    own: &Shared<[N]>,
    other: &Shared<[N]>,
    #[comptime] split: Split,
) {
    let (x, y) = (unit_x(), unit_y());
    let mut columns = Array::<N>::new(EACH);
    for c in 0..comptime!(split.width()) {
        #[unroll]
        for a in 0..EACH {
            columns[a] = own[place(c, x + a * LANES)];
        }
        #[unroll]
        for b in 0..EACH {
            let row = other[place(c, y + b * LANES)];
            #[unroll]
            for a in 0..EACH {
                sums[b * EACH + a] += row * columns[a];
            }
        }
    }
}

/// `sums[chunk, r, a] += Σ_j other[y + 8r, j]·weights[j, x + 8a]`
#[cube]
pub fn add_mixed<N: Float>(
    sums: &mut Array<N>,
    other: &Shared<[N]>,
    weights: &Shared<[N]>,
    #[comptime] chunk: usize,
    #[comptime] split: Split,
) {
    let (x, y) = (unit_x(), unit_y());
    let rows = comptime!(split.rows);
    let mut columns = Array::<N>::new(EACH);
    for j in 0..SIDE {
        #[unroll]
        for a in 0..EACH {
            columns[a] = weights[place(j, x + a * LANES)];
        }
        #[unroll]
        for r in 0..rows {
            let row = other[place(y + r * LANES, j)];
            #[unroll]
            for a in 0..EACH {
                sums[(chunk * rows + r) * EACH + a] += row * columns[a];
            }
        }
    }
}

/// Adds the products of all chunks of a group, `other` being loaded chunk by chunk.
#[cube]
pub fn add_mixed_group<F: Float, N: Float>(
    sums: &mut Array<N>,
    other: &mut Shared<[N]>,
    weights: &Shared<[N]>,
    from: &Tensor<F>,
    base: usize,
    start: usize,
    block: &Block,
    #[comptime] split: Split,
) {
    #[unroll]
    for chunk in 0..comptime!(split.chunks) {
        load::<F, N>(other, from, base, block.chunk + chunk, start, block, split);
        add_mixed::<N>(sums, &*other, weights, chunk, split);
    }
}

/// `Σ_c other[c, y + 8b]·own[c, x + 8a]` over all channels of a head, into `sums`.
#[cube]
pub fn inner<F: Float, N: Float>(
    sums: &mut Array<N>,
    own: &mut Shared<[N]>,
    other: &mut Shared<[N]>,
    own_from: &Tensor<F>,
    other_from: &Tensor<F>,
    own_base: usize,
    other_base: usize,
    other_start: usize,
    block: &Block,
    #[comptime] split: Split,
) {
    clear::<N>(sums, comptime!(EACH * EACH));
    for chunk in 0..block.channels.div_ceil(comptime!(split.width())) {
        load::<F, N>(own, own_from, own_base, chunk, block.start, block, split);
        load::<F, N>(other, other_from, other_base, chunk, other_start, block, split);
        add_inner::<N>(sums, &*own, &*other, split);
    }
}

/// Sets numbers to 0.
#[cube]
pub fn clear<N: Float>(numbers: &mut Array<N>, #[comptime] length: usize) {
    #[unroll]
    for i in 0..length {
        numbers[i] = N::new(0.0);
    }
}

/// Stores the results of a cube: `to[c, i] = factor[a]·sums[chunk, r, a]` for channels `c` of its
/// group and positions `i` of its block.
#[cube]
pub fn store<F: Float, N: Float>(
    to: &mut Tensor<F>,
    sums: &Array<N>,
    factors: &Array<N>,
    base: usize,
    block: &Block,
    #[comptime] split: Split,
) {
    let (x, y) = (unit_x(), unit_y());
    let (rows, width) = comptime!((split.rows, split.width()));
    #[unroll]
    for chunk in 0..comptime!(split.chunks) {
        #[unroll]
        for r in 0..rows {
            let channel = (block.chunk + chunk) * width + y + r * LANES;
            #[unroll]
            for a in 0..EACH {
                let position = block.start + x + a * LANES;
                if channel < block.channels && position < block.positions {
                    let result = sums[(chunk * rows + r) * EACH + a] * factors[a];
                    to[base + channel * block.positions + position] = F::cast_from(result);
                }
            }
        }
    }
}
