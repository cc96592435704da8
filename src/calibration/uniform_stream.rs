//! Uniform random numbers on the host, the same on every platform, from a seed and a stream.

use chacha20::ChaCha8Rng;
use rand::Rng;

use crate::random::draw::{below, generator};

/// Separates these keys from those of shuffles and parameters.
const CALIBRATION: u64 = 0x0043_616c_6962;

/// A stream of uniform random numbers.
pub(super) struct UniformStream(ChaCha8Rng);

impl UniformStream {
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(generator([seed, stream, 0, CALIBRATION]))
    }

    /// Uniform in `[0, 1)`: the upper 53 bits of 64.
    pub fn next(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * 2f64.powi(-53)
    }

    /// A random integer in `0..k`.
    pub fn below(&mut self, k: usize) -> usize {
        below(&mut self.0, k)
    }
}
