//! Tiles in shared memory, and the two products of them that attention consists of.
//!
//! A tile has [`SIDE`] rows of [`SIDE`] positions, in vectors of four. The units of a cube form a
//! square of [`LANES`] by [`LANES`]. Unit `(x, y)` computes the columns `4x..4x + 4` of a product,
//! so what it reads from shared memory are vectors, and each takes part in several multiply-adds.

use cubecl::prelude::*;

/// Positions, and at most as many channels, of a tile.
pub const SIDE: usize = 32;

/// Units along one side of the square of units.
pub const LANES: usize = 8;

/// Columns of a tile that one unit computes.
pub const EACH: usize = SIDE / LANES;

/// Units of a cube.
pub const UNITS: usize = LANES * LANES;

/// Vectors from one row of a tile to the next: one more than there are, so that elements of a
/// column lie in different banks of the shared memory.
const STRIDE: usize = LANES + 1;

/// Neighbouring positions, of which a unit has as many.
pub type Four<N> = Vector<N, Const<4>>;

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

    /// Vectors of results that one unit holds.
    pub const fn held(self) -> usize {
        self.chunks * self.rows
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

/// The block with an index: blocks of one head follow each other.
#[cube]
pub fn block(
    index: usize,
    channels: u32,
    positions: u32,
    cubes: u32,
    #[comptime] split: Split,
) -> Block {
    let chunks = comptime!(split.chunks);
    let blocks = (positions as usize).div_ceil(SIDE);
    let groups = (channels as usize).div_ceil(comptime!(split.width() * split.chunks));
    let others = index / blocks;
    Block {
        head: others / groups,
        start: index % blocks * SIDE,
        chunk: others % groups * chunks,
        channels: channels as usize,
        positions: select(index < cubes as usize, positions as usize, 0),
    }
}

/// Where the channels of a head are in a tensor `[B, channels, P]` of any order in memory, and
/// those of its bias `[channels, P]`.
#[derive(CubeType, Clone, Copy)]
pub struct Rows {
    /// Place of the first channel at the first position.
    base: usize,
    /// Distance from one channel to the next.
    channel: usize,
    /// Distance from one position to the next.
    position: usize,
    of_bias: usize,
    of_bias_channel: usize,
    of_bias_position: usize,
}

/// The rows of a head's channels in a tensor without bias, of which `first` is the first.
#[cube]
pub fn rows_of<F: Float>(tensor: &Tensor<F>, example: usize, first: usize) -> Rows {
    Rows {
        base: example * tensor.stride(0) + first * tensor.stride(1),
        channel: tensor.stride(1),
        position: tensor.stride(2),
        of_bias: 0,
        of_bias_channel: 0,
        of_bias_position: 0,
    }
}

/// Those in `projected`, which has a bias if `biased`.
#[cube]
pub fn projected_rows<F: Float>(
    projected: &Tensor<F>,
    bias: &Tensor<F>,
    example: usize,
    first: usize,
    #[comptime] biased: bool,
) -> Rows {
    let mut rows = rows_of::<F>(projected, example, first);
    if comptime!(biased) {
        rows.of_bias = first * bias.stride(0);
        rows.of_bias_channel = bias.stride(0);
        rows.of_bias_position = bias.stride(1);
    }
    rows
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
pub fn new_tile<N: Float>() -> Shared<[Four<N>]> {
    Shared::<[Four<N>]>::new_slice(comptime!(SIDE * STRIDE))
}

/// The place of a vector in a tile.
#[cube]
pub fn place(row: usize, vector: usize) -> usize {
    row * STRIDE + vector
}

/// Loads a chunk of channels of one head at the positions from `start`, and adds the bias if there
/// is one: row `c` of the tile is a channel. Elements outside the head are 0.
///
/// Every unit has to call it. It waits until all units have finished with what the tile held, and
/// until they have loaded it.
#[cube]
pub fn load<F: Float, N: Float>(
    tile: &mut Shared<[Four<N>]>,
    from: &Tensor<F>,
    bias: &Tensor<F>,
    rows: &Rows,
    chunk: usize,
    start: usize,
    block: &Block,
    #[comptime] biased: bool,
    #[comptime] split: Split,
) {
    let (width, steps) = comptime!((split.width(), split.rows));
    let position = start + unit_x() * EACH;
    sync_cube();
    for step in 0..steps {
        let row = unit_y() + step * LANES;
        let channel = chunk * width + row;
        let first = rows.base + channel * rows.channel + position * rows.position;
        let mut four = Four::<N>::empty();
        #[unroll]
        for a in 0..EACH {
            let inside = channel < block.channels && position + a < block.positions;
            // Outside, an element that exists is read and not used.
            let mut element = N::cast_from(from[select(inside, first + a * rows.position, 0)]);
            if comptime!(biased) {
                let here = rows.of_bias
                    + channel * rows.of_bias_channel
                    + (position + a) * rows.of_bias_position;
                element += N::cast_from(bias[select(inside, here, 0)]);
            }
            four.insert(a, select(inside, element, N::new(0.0)));
        }
        tile[place(row, unit_x())] = four;
    }
    sync_cube();
}

/// `sums[b] += Σ_c other[c, 4y + b]·own[c, 4x..4x + 4]`
#[cube]
pub fn add_inner<N: Float>(
    sums: &mut Array<Four<N>>,
    own: &Shared<[Four<N>]>,
    other: &Shared<[Four<N>]>,
    #[comptime] split: Split,
) {
    for c in 0..comptime!(split.width()) {
        let columns = own[place(c, unit_x())];
        let rows = other[place(c, unit_y())];
        #[unroll]
        for b in 0..EACH {
            sums[b] += Four::<N>::new(rows.extract(b)) * columns;
        }
    }
}

/// `sums[chunk, r] += Σ_j other[y + 8r, j]·weights[j, 4x..4x + 4]`
#[cube]
pub fn add_mixed<N: Float>(
    sums: &mut Array<Four<N>>,
    other: &Shared<[Four<N>]>,
    weights: &Shared<[Four<N>]>,
    #[comptime] chunk: usize,
    #[comptime] split: Split,
) {
    let rows = comptime!(split.rows);
    for four in 0..LANES {
        let mut columns = Array::<Four<N>>::new(EACH);
        #[unroll]
        for j in 0..EACH {
            columns[j] = weights[place(four * EACH + j, unit_x())];
        }
        #[unroll]
        for r in 0..rows {
            let row = other[place(unit_y() + r * LANES, four)];
            #[unroll]
            for j in 0..EACH {
                sums[chunk * rows + r] += Four::<N>::new(row.extract(j)) * columns[j];
            }
        }
    }
}

/// Adds the products of all chunks of a group, `other` being loaded chunk by chunk.
#[cube]
pub fn add_mixed_group<F: Float, N: Float>(
    sums: &mut Array<Four<N>>,
    other: &mut Shared<[Four<N>]>,
    weights: &Shared<[Four<N>]>,
    from: &Tensor<F>,
    bias: &Tensor<F>,
    rows: &Rows,
    start: usize,
    block: &Block,
    #[comptime] biased: bool,
    #[comptime] split: Split,
) {
    #[unroll]
    for chunk in 0..comptime!(split.chunks) {
        let here = block.chunk + chunk;
        load::<F, N>(other, from, bias, rows, here, start, block, biased, split);
        add_mixed::<N>(sums, &*other, weights, chunk, split);
    }
}

/// `Σ_c other[c, 4y + b]·own[c, 4x..4x + 4]` over all channels of a head, into `sums`.
#[cube]
pub fn inner<F: Float, N: Float>(
    sums: &mut Array<Four<N>>,
    own: &mut Shared<[Four<N>]>,
    other: &mut Shared<[Four<N>]>,
    own_from: &Tensor<F>,
    other_from: &Tensor<F>,
    bias: &Tensor<F>,
    own_rows: &Rows,
    other_rows: &Rows,
    other_start: usize,
    block: &Block,
    #[comptime] own_biased: bool,
    #[comptime] other_biased: bool,
    #[comptime] split: Split,
) {
    clear::<N>(sums, EACH);
    for chunk in 0..block.channels.div_ceil(comptime!(split.width())) {
        let start = block.start;
        load::<F, N>(own, own_from, bias, own_rows, chunk, start, block, own_biased, split);
        let start = other_start;
        load::<F, N>(other, other_from, bias, other_rows, chunk, start, block, other_biased, split);
        add_inner::<N>(sums, &*own, &*other, split);
    }
}

/// Sets vectors to 0.
#[cube]
pub fn clear<N: Float>(vectors: &mut Array<Four<N>>, #[comptime] length: usize) {
    #[unroll]
    for i in 0..length {
        vectors[i] = Four::<N>::new(N::new(0.0));
    }
}

/// Stores the results of a cube, `factor·sums[chunk, r]`, for the channels of its group and the
/// positions of its block.
#[cube]
pub fn store<F: Float, N: Float>(
    to: &mut Tensor<F>,
    sums: &Array<Four<N>>,
    factor: Four<N>,
    to_rows: &Rows,
    block: &Block,
    #[comptime] split: Split,
) {
    let (rows, width) = comptime!((split.rows, split.width()));
    let position = block.start + unit_x() * EACH;
    #[unroll]
    for chunk in 0..comptime!(split.chunks) {
        #[unroll]
        for r in 0..rows {
            let channel = (block.chunk + chunk) * width + unit_y() + r * LANES;
            let results = sums[chunk * rows + r] * factor;
            #[unroll]
            for a in 0..EACH {
                if channel < block.channels && position + a < block.positions {
                    let element = to_rows.base
                        + channel * to_rows.channel
                        + (position + a) * to_rows.position;
                    to[element] = F::cast_from(results.extract(a));
                }
            }
        }
    }
}
