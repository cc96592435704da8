//! Bit depth: converts images of 8 bits to images of fewer bits, and back.
//! ```text
//! reduce    x -> ⌊x / 2^(8−n)⌋          0..255 to 0..2^n − 1
//! restore   x -> x·2^(8−n)              0..2^n − 1 to the lower ends of the steps of width 2^(8−n)
//! ```
//! A model of reduced images is a model of different data: its bits/dim cannot be compared with
//! those of 8-bit images. [`Images::coarsened`](crate::data::Images::coarsened) reduces a whole set
//! of images in memory.
//!
//! # Reference
//! `n_bits_x` of the code of Kingma & Dhariwal 2018, which displays samples as `restore` does.

use burn::tensor::{Int, Tensor};

use crate::error::ConfigError;

/// Number of bits of a pixel, 1 to 8. The formulas head this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitDepth {
    n_bits: usize,
}

impl BitDepth {
    /// A pixel of `n_bits` bits.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] unless `n_bits` is 1 to 8.
    pub fn new(n_bits: usize) -> Result<Self, ConfigError> {
        if (1..=8).contains(&n_bits) {
            return Ok(Self { n_bits });
        }
        Err(ConfigError::OutOfRange {
            config: "BitDepth",
            field: "n_bits",
            range: "[1, 8]",
            found: n_bits as f64,
        })
    }

    /// Number of levels of a pixel, `2^n`, as dequantizations take it.
    pub fn n_levels(self) -> usize {
        1 << self.n_bits
    }

    /// Width of a step, `2^(8−n)`.
    fn step(self) -> i64 {
        1 << (8 - self.n_bits)
    }

    /// Removes the lower bits of 8-bit images. With 8 bits nothing changes.
    pub fn reduce<const D: usize>(self, x: Tensor<D, Int>) -> Tensor<D, Int> {
        if self.step() == 1 {
            return x;
        }
        // Levels are not negative and are exact in f32. On every backend, floor then equals integer
        // division.
        x.float().mul_scalar(1.0 / self.step() as f64).floor().int()
    }

    /// 8-bit images from levels.
    pub fn restore<const D: usize>(self, x: Tensor<D, Int>) -> Tensor<D, Int> {
        x.mul_scalar(self.step())
    }
}
