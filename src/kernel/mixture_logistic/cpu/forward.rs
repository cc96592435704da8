//! `z` and the log-derivative of a block.

use crate::kernel::cpu::simd::{Kernel, LANES, Lanes, MultiplyAdd, exp_in_range, tanh};

use super::MixtureLogistic;
use super::linear_space::{ExponentLimit, Sums, accumulate};
use super::log_space::Mixture;
use super::tile::{Batch, Block, PackedChunk, TILE_CHUNKS, Tile};

/// The forward pass of a block. Outputs have the shape of the block.
#[derive(Debug)]
pub struct Forward<'a, T> {
    /// The law.
    pub law: MixtureLogistic<T>,
    /// The batch.
    pub batch: Batch<'a, T>,
    /// The part of the batch.
    pub block: Block,
    /// Output `z`.
    pub z: &'a mut [T],
    /// Output `ln dz/dx`.
    pub log_derivative: &'a mut [T],
}

impl<T: ExponentLimit> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { law, batch, block, z, log_derivative } = self;
        let n_chunks = TILE_CHUNKS.min(block.dims.len().div_ceil(LANES));
        let mut packed = PackedChunk::new(law.n_components);
        let mut mixture = Mixture::new(law.n_components);
        let mut sums = vec![Sums::default(); n_chunks];
        let mut outputs = [vec![[T::zero(); LANES]; n_chunks], vec![[T::zero(); LANES]; n_chunks]];
        for piece in block.pieces(n_chunks) {
            let tile = piece.tile(&batch, &mut packed);
            let sums = &mut sums[..tile.x.len()];
            accumulate::<T, M>(&tile, law.n_components, law.min_log_scale, sums, |_, _, _| ());
            let [a, b] = tile.affine();
            for (chunk, sums) in sums.iter().enumerate() {
                let (t, log_slope) = values::<T, M>(&law, &tile, chunk, sums, &mut mixture);
                let (a, b) = (a[chunk], b[chunk]);
                let mut lanes = [[T::zero(); LANES]; 2];
                for lane in 0..LANES {
                    let (log_scale, _) = tanh::<T, M>(a[lane]);
                    lanes[0][lane] = M::mul_add(exp_in_range::<T, M>(log_scale), t[lane], b[lane]);
                    lanes[1][lane] = log_scale + log_slope[lane];
                }
                [outputs[0][chunk], outputs[1][chunk]] = lanes;
            }
            piece.store(outputs[0].as_flattened(), z);
            piece.store(outputs[1].as_flattened(), log_derivative);
        }
    }
}

/// `t` and `ln dt/dx` of a chunk, in log space where the sums are not valid. Each lane depends only
/// on its own elements.
#[inline(always)]
fn values<T: ExponentLimit, M: MultiplyAdd>(
    law: &MixtureLogistic<T>,
    tile: &Tile<'_, T>,
    chunk: usize,
    sums: &Sums<T>,
    mixture: &mut Mixture<T>,
) -> (Lanes<T>, Lanes<T>) {
    let (mut t, mut log_slope) = sums.values::<M>();
    let valid = sums.are_valid(&law.validity);
    if valid != [true; LANES] {
        mixture.load::<M>(tile, chunk, law.min_log_scale);
        let totals = mixture.evaluate::<M>(&tile.x[chunk]);
        for lane in 0..LANES {
            t[lane] = if valid[lane] { t[lane] } else { totals.t[lane] };
            log_slope[lane] = if valid[lane] { log_slope[lane] } else { totals.log_slope[lane] };
        }
    }
    (t, log_slope)
}
