//! Dequantization: surjections from numbers in [0, 1] to the levels of discrete data.
//! ```text
//! lift     y = (x + u)/M,  u ~ q(u | x) on [0, 1)       log_weight = −ln q(u | x) − D ln M
//! lower    x = ⌊M·y⌋, cut to 0..M−1
//! ```
//! `M` levels are known here and nowhere else: the flow behind sees numbers in [0, 1].
//!
//! # Numerics
//! `y` never rounds to another level's: `lower(lift(x))` is `x` for every noise in [0, 1]. The file `cell.rs` says how,
//! and what it costs.
//!
//! | type of the flow | levels at most | such as |
//! |---|---|---|
//! | float32 | 2^16 | images of 16 bits |
//! | float64 | 2^45 | |
//!
//! More are refused: a level of a few numbers has no room for noise, and what is then evaluated is no bound. A float64
//! flow takes `with_dtype(DType::F64)`; otherwise drop bits first. The readers of [`crate::data`] hold bytes; deeper
//! images come as `Int` tensors of your own.

pub mod bit_depth;
mod cell;
pub mod uniform;
pub mod variational;

use burn::tensor::{Int, Tensor};

pub use bit_depth::BitDepth;
pub use uniform::{UniformDequantization, UniformDequantizationConfig};
pub use variational::{Encoder, VariationalDequantization, VariationalDequantizationConfig};

use crate::error::{FlowError, ShapeError};

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
