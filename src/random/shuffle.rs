//! A portable shuffle: the same order on every platform and for every version of the `rand` crate.

use chacha20::ChaCha8Rng;

use crate::random::draw::{below, generator};

/// `0..n` in an order that depends only on `seed` and `stream`.
///
/// The generator is ChaCha with 8 rounds. Its key is the little-endian bytes of the seed, of the
/// stream, and 16 zeros. The shuffle is Fisher-Yates from the back; it draws below `k` as
/// `floor(u·k / 2^64)` from one 64-bit word `u`. The probabilities differ from uniform by less than
/// `k / 2^64`.
pub(crate) fn shuffled(n: usize, seed: u64, stream: u64) -> Vec<usize> {
    in_random_order(n, &mut generator([seed, stream, 0, 0]))
}

/// `0..n` in an order that the generator draws, as [`shuffled`] does.
pub(crate) fn in_random_order(n: usize, generator: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, below(generator, last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from an independent ChaCha8 in Python, written from the description above.
    #[test]
    fn the_order_is_the_documented_one() {
        assert_eq!(shuffled(12, 7, 0), [4, 1, 7, 10, 11, 6, 8, 3, 2, 0, 5, 9]);
        assert_eq!(shuffled(12, 7, 1), [4, 8, 7, 1, 6, 2, 9, 3, 5, 11, 0, 10]);
        assert_eq!(shuffled(12, u64::MAX, 0), [9, 0, 1, 5, 10, 7, 11, 4, 3, 6, 2, 8]);
    }
}
