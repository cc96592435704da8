//! Dequantization: surjections from values in [0, 1] to the levels of discrete data.
//! ```text
//! lift     y = (x + u)/M,  u ~ q(u | x) on [0, 1)       log_weight = −ln q(u | x) − D ln M
//! lower    x = ⌊M·y⌋, clamped to 0..M−1
//! ```
//! Only the dequantization depends on the number of levels `M`: the flow that follows gets values
//! in [0, 1].
//!
//! # Numerics
//! `y` never rounds to a value of another level: `lower(lift(x))` is `x` for every `u` in [0, 1].
//! The file `cell.rs` explains how, and at what cost.
//!
//! | type of the flow | most levels | example |
//! |---|---|---|
//! | float32 | 2^16 | images of 16 bits |
//! | float64 | 2^45 | |
//!
//! More levels are an error: with only a few values in a level there is no room for noise, and the
//! result of an evaluation would not be a bound. Use a float64 flow
//! (`docs/conventions.md` shows how) and `with_dtype(DType::F64)`, or remove bits first. The
//! readers of [`crate::data`] take 8-bit images only; pass deeper images as your own `Int` tensors.

pub mod bit_depth;
mod cell;
pub mod encoder;
pub mod uniform;
pub mod variational;

use burn::tensor::{DType, Int, Tensor, TensorData};

pub use bit_depth::BitDepth;
pub use encoder::{Encoder, EncoderConfig, Encoding};
pub use uniform::{UniformDequantization, UniformDequantizationConfig};
pub use variational::{VariationalDequantization, VariationalDequantizationConfig};

use crate::error::{FlowError, ShapeError};

/// Checks that every level is one of `0..n_levels`, and returns the shape.
pub(crate) fn check_levels<const D: usize>(
    x: &Tensor<D, Int>,
    n_levels: usize,
) -> Result<[usize; D], FlowError> {
    let dims = x.dims();
    if dims.contains(&0) {
        return Err(ShapeError::Empty { layer: "dequantization", shape: dims.to_vec() }.into());
    }
    let per_example: usize = dims[1..].iter().product();
    let rows = x.clone().reshape([dims[0], per_example]);
    let extremes = Tensor::cat(vec![rows.clone().min_dim(1), rows.max_dim(1)], 1);
    let data = extremes.try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    let legal = 0..n_levels as i128;
    match wide(&data).into_iter().enumerate().find(|(_, level)| !legal.contains(level)) {
        None => Ok(dims),
        Some((index, found)) => {
            Err(FlowError::Level { example: index / 2, found, levels: n_levels })
        }
    }
}

/// Integers of any type. Unsigned 64-bit integers do not all fit the signed type.
fn wide(data: &TensorData) -> Vec<i128> {
    match data.dtype() {
        DType::U64 => data.iter::<u64>().map(i128::from).collect(),
        _ => data.iter::<i64>().map(i128::from).collect(),
    }
}
