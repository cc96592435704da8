//! Largest sizes that a configuration may have, however much memory there is.
//!
//! A configuration may come from a file, in which a huge size takes no more text than a small one.
//! So every size is compared with a limit before it determines an allocation or a loop, and
//! products of sizes never overflow.
//!
//! | limit | for |
//! |---|---|
//! | [`MOST_SIZE`] = 2²⁴ | widths, channels, sides of an image |
//! | [`MOST_REPEATS`] = 2¹⁶ | layers, blocks, components, bins |
//! | [`MOST_FACTORED`] = 2¹³ | channels of a square matrix |
//! | [`MOST_KERNEL`] = 1023 | side of a convolution's kernel |
//! | [`MOST_PARAMETERS`] = 2⁴⁰ | parameters of a module |
//!
//! The reasons, in the same order:
//!
//! * A dense layer between two such widths has 2⁴⁸ weights; sums and small multiples of such counts
//!   never overflow.
//! * Each is computed in every pass. Published models have some hundreds at most.
//! * The initialisation factors the matrix on the host in n³ operations, which take minutes at
//!   `n = 2¹³`.
//! * Such a kernel reaches 511 positions to each side. Weights beyond the border of an image see
//!   only padding.
//! * In float32 they take 4 TiB, and as much again for each of gradient, moments and average: no
//!   device holds that.
//!
//! A model within these limits may still exceed the memory of a machine. In a program, that is the
//! author's choice. Before you make a model from a configuration in a file, compare its parameter
//! count (`num_params`, which makes nothing) with the content of the file:
//! [`Checkpoint::expect_params`](crate::train::Checkpoint::expect_params).
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::{ConfigError, MlpConfig, NetConfig, NetSite};
//!
//! // From one element to two parameters of another.
//! let site = NetSite::new([1, 1], [1, 1], vec![0.0; 2], &Device::flex());
//! let config = MlpConfig::new([64, 64]);
//! assert_eq!(config.num_params(&site)?, (64 + 64) + (64 * 64 + 64) + (2 * 64 + 2));
//! let error = MlpConfig::new([1 << 20, 1 << 21]).num_params(&site).unwrap_err();
//! assert!(matches!(
//!     error,
//!     ConfigError::TooManyParameters { field: "hidden", found: 0x20_0000, .. }
//! ));
//! # Ok::<(), ConfigError>(())
//! ```

/// Largest width, number of channels or side of an image.
pub const MOST_SIZE: usize = 1 << 24;

/// Most layers of a stack, blocks of a network, components of a mixture, or bins of a spline.
pub const MOST_REPEATS: usize = 1 << 16;

/// Most channels of a square matrix that is factored on the host.
pub const MOST_FACTORED: usize = 1 << 13;

/// Largest side of a convolution's kernel.
pub const MOST_KERNEL: usize = 1023;

/// Most parameters of a module.
pub const MOST_PARAMETERS: usize = 1 << 40;

/// A product of sizes; `usize::MAX` if it is larger.
pub(crate) fn product<const N: usize>(sizes: [usize; N]) -> usize {
    sizes.into_iter().fold(1, usize::saturating_mul)
}

/// A sum of sizes; `usize::MAX` if it is larger.
pub(crate) fn sum<const N: usize>(sizes: [usize; N]) -> usize {
    sizes.into_iter().fold(0, usize::saturating_add)
}

/// Elements of an example of this shape, whose first axis is the batch; `usize::MAX` if there are
/// more.
pub(crate) fn per_example<const D: usize>(shape: [usize; D]) -> usize {
    shape.into_iter().skip(1).fold(1, usize::saturating_mul)
}
