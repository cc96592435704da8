//! Inputs of the bijector under test.

use super::elements::normal;

/// Where a bijector is defined.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Inputs {
    /// All real numbers; extreme inputs are of this magnitude.
    Real(f64),
    /// Positive numbers; extreme inputs are of this magnitude or its reciprocal.
    Positive(f64),
    /// From −1 to 1 without the ends.
    Symmetric,
    /// The unit interval, ends included.
    Closed,
    /// The unit interval without its ends.
    Open,
}

/// Which inputs to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// Inputs such as data.
    Ordinary,
    /// Valid inputs at the extremes of the domain.
    Extreme,
}

impl Inputs {
    /// `n` valid inputs.
    pub(super) fn sample(self, region: Region, seed: u64, n: usize) -> Vec<f64> {
        let extreme = match (region, self) {
            (Region::Ordinary, Self::Real(_)) => return normal(seed, n, 1.0),
            (Region::Ordinary, Self::Positive(_)) => {
                return normal(seed, n, 1.0).into_iter().map(f64::exp).collect();
            }
            (Region::Ordinary, Self::Symmetric) => {
                return normal(seed, n, 1.0).into_iter().map(|x| 0.9 * x.sin()).collect();
            }
            (Region::Ordinary, Self::Closed | Self::Open) => {
                return normal(seed, n, 1.0).into_iter().map(|x| 0.5 + 0.45 * x.sin()).collect();
            }
            (Region::Extreme, Self::Real(size)) => [size, -size, 0.0, 1e-6, -size / 3.0],
            (Region::Extreme, Self::Positive(size)) => [size, size.recip(), 1.0, 1e-6, size / 3.0],
            (Region::Extreme, Self::Symmetric) => [-0.9999, 0.9999, 0.0, 1e-6, 0.5],
            (Region::Extreme, Self::Closed) => [0.0, 1.0, 1e-6, 1.0 - 1e-6, 0.5],
            (Region::Extreme, Self::Open) => [1e-5, 1.0 - 1e-5, 1e-3, 0.999, 0.5],
        };
        // The shift by i/5 lets every element take every extreme value in some example.
        (0..n).map(|i| extreme[(i + i / 5 + seed as usize) % 5]).collect()
    }
}
