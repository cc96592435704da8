//! Cells: the floating-point values of [0, 1) that belong to each level, in the type of the flow.
//! ```text
//! start(x) = fl(x·fl(1/M))                     fl: rounding to the type; increasing in x
//! cell(x)  = [start(x), start(x + 1))          the values of the type in it
//! place    y = fl(fl(x + u)·fl(1/M)); if that is start(x + 1), the value before it
//! level    the x with y in cell(x)             ⌊M·y⌋, compared with the starts of its cell and of
//!                                              the next
//! ```
//! Rounding keeps order. `place` therefore returns a value of `cell(x)` for every `u` in [0, 1], 1
//! included, and `level` recovers `x`, for every `M`, a power of two or not.
//!
//! # Density
//! Each value of a cell represents the `u` that round to it: an interval of length `h`, the spacing
//! of the type divided by the width of a level, with the value in its middle. The two end values
//! differ. The first represents `[0, h/2)`, and the last `[1 − 3h/2, 1]`, which includes the `u`
//! that would have rounded to the next level. No `u` is lost or counted twice, so the bound of a
//! density that is constant over a cell is exact. The mean of the noise is lower by `h²/2`. At the
//! limit of a type, `h` is at most 2^-8 and the mean is off by 2^-17 of a level; with 256 levels in
//! float32, by 2^-33.
//!
//! # Limit
//! A flow can learn to distinguish the values of a cell and concentrate its density on some of
//! them. Suppose that a flow places `K` components on `K` of the `N` values of a cell. Let the
//! width of a component be `e^−7` of the spacing, the smallest that [`crate::law::MixLogCdf`]
//! makes. For data on one level the "bound" is then `min(1, K/N)·7` nats above the truth: at 20
//! bits in float32, where `N` is 16, by 10 bits. [`most_levels`] leaves at least [`PER_CELL`]
//! values in a cell, which a law of a few components cannot cover. Only cells in the upper half of
//! the levels have so few; with 256 levels they have 65,536.

use burn::tensor::{DType, FloatDType, Int, IntDType, Tensor};

use crate::error::ConfigError;

/// Least number of floating-point values in a cell.
const PER_CELL: usize = 256;

/// Largest number of levels of a type that leaves room for noise. The values of the type are
/// sparsest in [½, 1); the cells of that half share them. `None`: the type is too coarse for
/// densities.
fn most_levels(dtype: DType) -> Option<usize> {
    match dtype {
        // 2^24 and 2^53 multiples of the spacing below 1.
        DType::F32 => Some((1 << 24) / PER_CELL),
        DType::F64 => Some((1 << 53) / PER_CELL),
        _ => None,
    }
}

/// Checks that a type has room for noise in each of `n_levels` levels, and that there are at least
/// 2.
pub(super) fn check(
    config: &'static str,
    n_levels: usize,
    dtype: DType,
) -> Result<(), ConfigError> {
    if n_levels < 2 {
        return Err(ConfigError::OutOfRange {
            config,
            field: "n_levels",
            range: "[2, ∞)",
            found: n_levels as f64,
        });
    }
    match most_levels(dtype) {
        Some(most) if n_levels <= most => Ok(()),
        most => {
            Err(ConfigError::Levels { config, found: n_levels, dtype, most: most.unwrap_or(0) })
        }
    }
}

/// Levels converted to a float type. The conversion avoids float32, which distinguishes levels only
/// up to 2^24.
pub(super) fn to_float<const D: usize>(x: Tensor<D, Int>, dtype: DType) -> Tensor<D> {
    x.cast(FloatDType::from(dtype))
}

/// The position of noise `u` in the cell of level `x`. Differentiable in `u`, as `(x + u)/M` is.
///
/// `u` outside [0, 1] is not valid noise and gives a value outside the cell.
///
/// # Panics
/// If the type does not allow so many levels. [`check`] is called where data enters.
pub(super) fn place<const D: usize>(x: Tensor<D>, u: Tensor<D>, n_levels: usize) -> Tensor<D> {
    if let Err(error) = check("dequantization", n_levels, x.dtype()) {
        panic!("{error}");
    }
    let half_epsilon =
        if x.dtype() == DType::F64 { f64::EPSILON / 2.0 } else { f64::from(f32::EPSILON) / 2.0 };
    let step = 1.0 / n_levels as f64;
    let next = x.clone().add_scalar(1.0).mul_scalar(step);
    // `b·(1 − ε/2)` lies half a spacing to one spacing below `b` and rounds to the value before it.
    let last = next.clone().mul_scalar(1.0 - half_epsilon);
    let within = u.clone().detach().lower_equal_elem(1.0);
    let y = (x + u).mul_scalar(step);
    let reached = y.clone().detach();
    let over = reached.clone().greater_equal(next).bool_and(within);
    // Adjacent values: their difference is exact, and so is the result of subtracting it.
    y - (reached - last).mask_fill(over.bool_not(), 0.0)
}

/// The level whose cell contains `y`, as a 64-bit integer if there are more than 2^31 levels. The
/// inverse of a flow may return values below 0, or 1 and above; they belong to the first and to the
/// last level.
pub(super) fn level<const D: usize>(y: Tensor<D>, n_levels: usize) -> Tensor<D, Int> {
    let (step, last) = (1.0 / n_levels as f64, (n_levels - 1) as f64);
    let y = y.detach();
    // Wrong by one at most: `M·y` is rounded twice, and a cell is 256 spacings wide.
    let level = y.clone().mul_scalar(n_levels as f64).floor().clamp(0.0, last);
    let below = y.clone().lower(level.clone().mul_scalar(step)).float().cast(y.dtype());
    let beyond = y
        .clone()
        .greater_equal(level.clone().add_scalar(1.0).mul_scalar(step))
        .float()
        .cast(y.dtype());
    let level = (level - below + beyond).clamp(0.0, last);
    // The device's default integers may have 32 bits.
    if n_levels > 1 << 31 { level.cast(IntDType::I64) } else { level.int() }
}
