//! Random draws that are the same on every platform and for every version of the `rand` crate.

use chacha20::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// ChaCha with 8 rounds whose key is the little-endian bytes of the four words.
pub(crate) fn generator(key: [u64; 4]) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(key) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(bytes)
}

/// A draw from `0..k` as `floor(u·k / 2^64)` from one 64-bit word `u`: off uniform by less than `k / 2^64`.
pub(crate) fn below(generator: &mut ChaCha8Rng, k: usize) -> usize {
    // u < 2^64, so the quotient is below `k`: in range, and it fits.
    ((u128::from(generator.next_u64()) * k as u128) >> 64) as usize
}
