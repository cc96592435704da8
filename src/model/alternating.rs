//! Steps whose halves alternate.

use crate::error::ConfigError;
use crate::tensor::limit::{product, sum};

/// Number of parameters of all steps; `of` counts those of step 0 and of step 1. With an odd number
/// of elements, the halves of even and of odd steps differ.
///
/// # Errors
/// Those of `of`.
pub(super) fn num_params(
    n_steps: usize,
    of: impl Fn(usize) -> Result<usize, ConfigError>,
) -> Result<usize, ConfigError> {
    let odd = n_steps / 2;
    let odd_steps = if odd > 0 { product([odd, of(1)?]) } else { 0 };
    Ok(sum([product([n_steps - odd, of(0)?]), odd_steps]))
}
