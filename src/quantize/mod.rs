//! Dequantization: surjections from numbers in [0, 1] to the levels of discrete data.
//! ```text
//! lift     y = (x + u)/M,  u ~ q(u | x) on [0, 1)       log_weight = −ln q(u | x) − D ln M
//! lower    x = ⌊M·y⌋, cut to 0..M−1
//! ```
//! `M` levels are known here and nowhere else: the flow behind sees numbers in [0, 1].

pub mod bit_depth;
pub mod uniform;
pub mod variational;

use burn::tensor::{Int, Tensor};

pub use bit_depth::BitDepth;
pub use uniform::{UniformDequantization, UniformDequantizationConfig};
pub use variational::{Encoder, VariationalDequantization, VariationalDequantizationConfig};

use crate::error::{ConfigError, FlowError, ShapeError};

/// `⌊M·y⌋`, cut to the levels: the inverse of a flow may leave [0, 1], and `y` may round to 1.
pub(crate) fn quantize<const D: usize>(y: Tensor<D>, n_levels: usize) -> Tensor<D, Int> {
    y.mul_scalar(n_levels as f64).floor().clamp(0.0, (n_levels - 1) as f64).int()
}

/// Whether every level is one of `0..n_levels`; shape and numbers per example.
pub(crate) fn check_levels<const D: usize>(
    x: &Tensor<D, Int>,
    n_levels: usize,
) -> Result<([usize; D], usize), FlowError> {
    let dims = x.dims();
    if dims.contains(&0) {
        return Err(ShapeError::Empty { layer: "dequantization", shape: dims.to_vec() }.into());
    }
    let per_example: usize = dims[1..].iter().product();
    let rows = x.clone().reshape([dims[0], per_example]);
    let extremes = Tensor::cat(vec![rows.clone().min_dim(1), rows.max_dim(1)], 1);
    let data = extremes.try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    let legal = 0..n_levels as i64;
    match data.iter::<i64>().enumerate().find(|(_, level)| !legal.contains(level)) {
        None => Ok((dims, per_example)),
        Some((index, found)) => Err(FlowError::Level { example: index / 2, found, levels: n_levels }),
    }
}

/// Discrete data has two levels at least.
pub(crate) fn check_n_levels(config: &'static str, n_levels: usize) -> Result<(), ConfigError> {
    // 2^24: above, f32 does not tell levels apart.
    if (2..=1 << 24).contains(&n_levels) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { config, field: "n_levels", range: "[2, 2^24]", found: n_levels as f64 })
}
