//! Expected coverage by tests of accuracy with random points (TARP).
//! ```text
//! a_i ~ U([0, 1]^d)                                     a random point for each simulation
//! r_i = #{ l : |x_il − a_i| < |x*_i − a_i| }            0..L; among equal distances it is random
//! f_i = (r_i + v)/(L + 1),   v ~ U[0, 1)
//! ECP(α) = #{ i : f_i < α }/n                           equals α if the density is calibrated
//! ```
//! Distances are those of parameters that are scaled to [0, 1] by their range in the simulations.
//! The ball around `a_i` that reaches to the truth is a credible region of credibility `f_i`.
//! Unlike the ranks, it is one of all parameters together. `ECP(α)` below `α` for large `α`, and
//! above it for small `α`, means over-confidence.
//!
//! # Reference
//! Lemos et al. 2023. Differs: `v` makes the shares uniform for every `L`.

use super::posterior_samples::PosteriorSamples;
use super::uniform_stream::UniformStream;
use super::{CalibrationError, kolmogorov_smirnov};

/// The stream that the random points come from.
const POINTS: u64 = 1;

/// Expected coverage. The formulas head this module.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// The credibilities, in ascending order.
    credibilities: Vec<f64>,
}

impl Coverage {
    /// The credibilities of all simulations. `seed` determines the random points.
    ///
    /// # Errors
    /// [`CalibrationError::Constant`] for a parameter that is the same in all simulations.
    pub fn new(samples: &PosteriorSamples, seed: u64) -> Result<Self, CalibrationError> {
        let mut stream = UniformStream::new(seed, POINTS);
        let ranges = ranges(samples)?;
        let l = samples.per_observation();
        let credibility = |simulation: usize| {
            let point: Vec<f64> = ranges.iter().map(|_| stream.next()).collect();
            let distance = |x: &[f64]| -> f64 {
                let scaled = x.iter().zip(&ranges).map(|(x, (low, range))| (x - low) / range);
                scaled.zip(&point).map(|(x, a)| (x - a) * (x - a)).sum()
            };
            let truth = distance(samples.truth(simulation));
            let (mut nearer, mut equal) = (0, 0);
            for found in samples.samples(simulation).map(distance) {
                nearer += usize::from(found < truth);
                equal += usize::from(found == truth);
            }
            let rank = nearer + stream.below(equal + 1);
            (rank as f64 + stream.next()) / (l + 1) as f64
        };
        let mut credibilities: Vec<f64> = (0..samples.len()).map(credibility).collect();
        credibilities.sort_unstable_by(f64::total_cmp);
        Ok(Self { credibilities })
    }

    /// The credibility `f_i` of each simulation, in ascending order.
    pub fn credibilities(&self) -> &[f64] {
        &self.credibilities
    }

    /// The expected coverage `ECP(α)` of regions of credibility `α`.
    pub fn expected(&self, credibility: f64) -> f64 {
        let covered = self.credibilities.partition_point(|&found| found < credibility);
        covered as f64 / self.credibilities.len() as f64
    }

    /// The largest `|ECP(α) − α|`.
    pub fn largest_deviation(&self) -> f64 {
        let n = self.credibilities.len() as f64;
        let at = |(place, found): (usize, &f64)| {
            ((place + 1) as f64 / n - found).abs().max((found - place as f64 / n).abs())
        };
        self.credibilities.iter().enumerate().map(at).fold(0.0, f64::max)
    }

    /// The Kolmogorov-Smirnov p-value: small if the expected coverage is not the credibility.
    pub fn p_value(&self) -> f64 {
        kolmogorov_smirnov(&self.credibilities)
    }
}

/// The smallest true value of each parameter, and the length of its range.
fn ranges(samples: &PosteriorSamples) -> Result<Vec<(f64, f64)>, CalibrationError> {
    let range = |column: usize| {
        let values = (0..samples.len()).map(|simulation| samples.truth(simulation)[column]);
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        match high - low {
            length if length > 0.0 => Ok((low, length)),
            _ => Err(CalibrationError::Constant { what: "parameters", column, value: low }),
        }
    };
    (0..samples.dims()).map(range).collect()
}
