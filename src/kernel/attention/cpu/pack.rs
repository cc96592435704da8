//! Copies of an example's head, `[channels, positions]`, in the order that the products read.

use crate::kernel::simd::{LANES, Real};

use super::tile::{Panel, WIDTH, splat};

/// Blocks of `N` positions: for each block, for each channel, the channel's numbers there times `scale`. Zeros follow the last position.
#[inline(always)]
pub fn by_position<T: Real, const N: usize>(head: &[T], n_positions: usize, scale: T) -> Vec<[T; N]> {
    let n_channels = head.len() / n_positions;
    let mut packed = vec![[T::zero(); N]; n_positions.div_ceil(N) * n_channels];
    for (channel, row) in head.chunks_exact(n_positions).enumerate() {
        for (block, numbers) in row.chunks(N).enumerate() {
            for (to, &from) in packed[block * n_channels + channel].iter_mut().zip(numbers) {
                *to = from * scale;
            }
        }
    }
    packed
}

/// Blocks of `C` channels: for each block, for each position, the numbers of the channels there times `scale`. Zeros follow the last channel.
#[inline(always)]
pub fn by_channel<T: Real, const C: usize>(head: &[T], n_positions: usize, scale: T) -> Vec<[T; C]> {
    let n_channels = head.len() / n_positions;
    let mut packed = vec![[T::zero(); C]; n_channels.div_ceil(C) * n_positions];
    for (channel, row) in head.chunks_exact(n_positions).enumerate() {
        let block = &mut packed[channel / C * n_positions..][..n_positions];
        for (to, &from) in block.iter_mut().zip(row) {
            to[channel % C] = from * scale;
        }
    }
    packed
}

/// Panels of some positions: for each panel, for each of `n_channels` channels, the channel's numbers. Zeros follow the last position and the
/// last channel of `head`.
#[inline(always)]
pub fn panels<T: Real>(head: &[T], n_positions: usize, n_channels: usize) -> Vec<Panel<T>> {
    let mut packed = vec![splat(T::zero()); n_positions.div_ceil(WIDTH) * n_channels];
    for (channel, row) in head.chunks_exact(n_positions).enumerate() {
        for (block, numbers) in row.chunks(WIDTH).enumerate() {
            load(&mut packed[block * n_channels + channel], numbers);
        }
    }
    packed
}

/// Copies the first numbers of a panel.
#[inline(always)]
pub fn load<T: Copy>(panel: &mut Panel<T>, numbers: &[T]) {
    panel.as_flattened_mut()[..numbers.len()].copy_from_slice(numbers);
}

const _: () = assert!(WIDTH == 2 * LANES);
