//! Random draws that are the same on every platform and for every version of the `rand` crate.

use chacha20::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// The odd integer nearest to 2^64 / golden ratio, the increment of SplitMix64.
pub(crate) const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Stafford's variant 13: a bijection of 64-bit integers in which each input bit flips each output
/// bit about half of the time.
pub(crate) const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// ChaCha with 8 rounds whose key is the little-endian bytes of the four words.
pub(crate) fn generator(key: [u64; 4]) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(key) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(bytes)
}

/// A random number in (0, 1): the middle of one of 2^52 equal parts, from one 64-bit word. It is
/// exact in float64.
pub(crate) fn unit(generator: &mut ChaCha8Rng) -> f64 {
    ((generator.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// A random integer in `0..k`, as `floor(u·k / 2^64)` from one 64-bit word `u`. Its probabilities
/// differ from uniform by less than `k / 2^64`.
pub(crate) fn below(generator: &mut ChaCha8Rng, k: usize) -> usize {
    // u < 2^64, so the quotient is below `k` and fits a usize.
    ((u128::from(generator.next_u64()) * k as u128) >> 64) as usize
}
