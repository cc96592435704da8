//! Dequantization: surjections from values in [0, 1] to the levels of discrete data.
//! ```text
//! lift     y = (x + u)/M,  u ~ q(u | x) on [0, 1)       log_weight = −ln q(u | x) − D ln M,
//!                                                       NaN if a level x_j is none of 0..M−1
//! lower    x = ⌊M·y⌋, clamped to 0..M−1
//! ```
//! Only the dequantization depends on the number of levels `M`: the flow that follows gets values
//! in [0, 1]. [`IntegerColumns`] lifts the integer columns of a table, which have no levels.
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
pub mod integer_columns;
pub mod uniform;
pub mod variational;

use burn::tensor::{DType, Int, Tensor, TensorData};

pub use crate::encoder::{Encoder, EncoderConfig, Encoding};
pub use bit_depth::BitDepth;
pub use integer_columns::{IntegerColumns, IntegerColumnsConfig};
pub use uniform::{UniformDequantization, UniformDequantizationConfig};
pub use variational::{VariationalDequantization, VariationalDequantizationConfig};

use crate::error::{FlowError, ShapeError};

/// The shape of a batch of levels.
///
/// # Errors
/// [`ShapeError::Empty`] for a batch without elements.
fn shape<const D: usize>(x: &Tensor<D, Int>) -> Result<[usize; D], ShapeError> {
    let dims = x.dims();
    if dims.contains(&0) {
        return Err(ShapeError::Empty { layer: "dequantization", shape: dims.to_vec() });
    }
    Ok(dims)
}

/// Number of examples of a batch, and of elements of each.
fn rows(dims: &[usize]) -> [usize; 2] {
    [dims[0], dims[1..].iter().product()]
}

/// Checks that every level of a batch with elements is one of `0..n_levels`. One device-to-host
/// copy.
fn check_levels<const D: usize>(x: &Tensor<D, Int>, n_levels: usize) -> Result<(), FlowError> {
    let rows = x.clone().reshape(rows(&x.dims()));
    let extremes = Tensor::cat(vec![rows.clone().min_dim(1), rows.max_dim(1)], 1);
    let data = extremes.try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    let legal = 0..n_levels as i128;
    match wide(&data).into_iter().enumerate().find(|(_, level)| !legal.contains(level)) {
        None => Ok(()),
        Some((index, found)) => {
            Err(FlowError::Level { example: index / 2, found, levels: n_levels })
        }
    }
}

/// Values of examples, `[batch]`, with NaN for each example that has a level outside `0..n_levels`.
/// `x` has the levels `x_ij` of example `i`, converted to floats.
/// ```text
/// v_i    if max_j |x_ij − c| ≤ c        c = (M − 1)/2, the middle of 0..M−1
/// NaN    otherwise
/// ```
/// The differences are exact near the range, whose levels and middle have fewer digits than the
/// type. Further out they are rounded, which keeps order.
fn nan_outside<const D: usize>(values: Tensor<1>, x: Tensor<D>, n_levels: usize) -> Tensor<1> {
    let [batch, per_example] = rows(&x.dims());
    let middle = (n_levels - 1) as f64 / 2.0;
    let distance = x.sub_scalar(middle).abs().reshape([batch, per_example]).max_dim(1);
    values.mask_fill(distance.greater_elem(middle).reshape([batch]), f64::NAN)
}

/// Integers of any type. Unsigned 64-bit integers do not all fit the signed type.
fn wide(data: &TensorData) -> Vec<i128> {
    match data.dtype() {
        DType::U64 => data.iter::<u64>().map(i128::from).collect(),
        _ => data.iter::<i64>().map(i128::from).collect(),
    }
}
