//! The MixLogCDF law with its affine map, on slices: forward, backward and inverse. The parent
//! module has the formulas and symbols.
//!
//! | quantity | shape | order |
//! |---|---|---|
//! | `x`, `z`, the log-derivative | `[examples, dims]` | |
//! | `theta` | `[examples, 2 + 3K, dims]` | rows `a`, `b`, `ℓ_1..K`, `μ_1..K`, `s_1..K` |
//!
//! Inputs may have gaps between examples and between rows ([`Batch`]); outputs have none.
//!
//! # How
//! Parameters are read once, row by row, in tiles of up to 2048 elements of an example, with three
//! exponentials per component. Sums are computed in linear space (`linear_space`), with bounds that
//! prove them accurate to rounding. Where a bound fails, in the tails, the element is computed
//! again in log space (`log_space`). Both compute each element only from its own data and
//! parameters, so results do not depend on layout, threads or neighbours, bit for bit.
//!
//! # Undefined values
//! A NaN in the data or parameters of an element makes that element NaN and no other. `x = ±∞`
//! gives NaN, because log space subtracts infinities.

mod backward;
mod forward;
mod inverse;
mod linear_space;
mod log_space;
mod parallel;
mod tile;

pub use linear_space::ExponentLimit;
pub use tile::Batch;

use linear_space::Validity;

/// The constants of a law.
#[derive(Debug, Clone, Copy)]
pub struct MixtureLogistic<T> {
    n_components: usize,
    min_log_scale: T,
    validity: Validity<T>,
}

impl<T: ExponentLimit> MixtureLogistic<T> {
    /// A law with `n_components` components and log-scales of at least `min_log_scale`.
    ///
    /// # Panics
    /// If there is no component, or `min_log_scale` is not within `±80`: `e^−s` must be a finite
    /// f32.
    pub fn new(n_components: usize, min_log_scale: T) -> Self {
        assert!(n_components > 0, "mixture_logistic: expected at least one component");
        assert!(
            min_log_scale.abs() <= T::of(80.0),
            "mixture_logistic: `min_log_scale` must lie in [-80, 80], found {min_log_scale:?}"
        );
        Self { n_components, min_log_scale, validity: Validity::new(n_components, min_log_scale) }
    }
}

#[cfg(test)]
mod tests;
