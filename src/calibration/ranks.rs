//! Simulation-based calibration: the rank of each true parameter among its samples.
//! ```text
//! r_ij = #{ l : x_ilj < x*_ij }               0..L,  for simulation i and parameter j
//! u_ij = (r_ij + v)/(L + 1),  v ~ U[0, 1)     uniform if the density is calibrated
//! ```
//! A histogram of `u` shows what is wrong: a `∪` means too narrow densities, a `∩` too wide ones, a
//! rising slope samples that are too low. Among equal values the rank is random. The `L + 1` ranks
//! need not fill the bars alike; `v` shares a rank between two bars.
//!
//! # Reference
//! Talts et al. 2018.

use super::kolmogorov_smirnov;
use super::posterior_samples::PosteriorSamples;
use super::uniform_stream::UniformStream;

/// The stream that ranks take their random numbers from.
const RANKS: u64 = 0;

/// Probability outside the band of a histogram's bar.
const OUTSIDE: f64 = 0.01;

/// Ranks of true parameters among their samples. The formulas head this module.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// One list for each parameter, with one rank for each simulation.
    ranks: Vec<Vec<usize>>,
    /// `u`, likewise.
    places: Vec<Vec<f64>>,
    per_observation: usize,
    p_values: Vec<f64>,
}

/// A histogram of ranks, with what a calibrated density leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct RankHistogram {
    /// Number of ranks in each bin.
    pub counts: Vec<usize>,
    /// Expected number.
    pub expected: f64,
    /// The counts between which at least 99 of 100 bars of a calibrated density lie.
    pub band: (usize, usize),
}

impl Ranks {
    /// The ranks of all parameters. `seed` determines the rank among equal values and the numbers
    /// `v`.
    pub fn new(samples: &PosteriorSamples, seed: u64) -> Self {
        let mut stream = UniformStream::new(seed, RANKS);
        let (n, l) = (samples.len(), samples.per_observation());
        let mut ranks = vec![Vec::with_capacity(n); samples.dims()];
        for simulation in 0..n {
            let truth = samples.truth(simulation);
            let mut counts = vec![(0, 0); truth.len()];
            for sample in samples.samples(simulation) {
                for ((less, equal), (x, truth)) in counts.iter_mut().zip(sample.iter().zip(truth)) {
                    *less += usize::from(x < truth);
                    *equal += usize::from(x == truth);
                }
            }
            for (ranks, (less, equal)) in ranks.iter_mut().zip(counts) {
                ranks.push(less + stream.below(equal + 1));
            }
        }
        let mut place = |&rank: &usize| (rank as f64 + stream.next()) / (l + 1) as f64;
        let places: Vec<Vec<f64>> =
            ranks.iter().map(|ranks| ranks.iter().map(&mut place).collect()).collect();
        let p_values = places.iter().map(|places| kolmogorov_smirnov(places)).collect();
        Self { ranks, places, per_observation: l, p_values }
    }

    /// The ranks of a parameter, one for each simulation, from 0 to the number of samples.
    ///
    /// # Panics
    /// If there is no such parameter.
    pub fn ranks(&self, parameter: usize) -> &[usize] {
        &self.ranks[parameter]
    }

    /// Number of samples `L` that a rank is one among.
    pub fn per_observation(&self) -> usize {
        self.per_observation
    }

    /// The Kolmogorov-Smirnov p-value of each parameter: small if its ranks are not uniform. If all
    /// `d` parameters are calibrated, the smallest value is below `0.01/d` in at most one of 100
    /// cases.
    pub fn p_values(&self) -> &[f64] {
        &self.p_values
    }

    /// The histogram of a parameter's `u`, in bins of equal width. There are at most `L + 1` bins,
    /// and at least one. If their number divides `L + 1`, it is one of the ranks.
    ///
    /// # Panics
    /// If there is no such parameter.
    pub fn histogram(&self, parameter: usize, bins: usize) -> RankHistogram {
        let bins = bins.clamp(1, self.per_observation + 1);
        let mut counts = vec![0; bins];
        for place in &self.places[parameter] {
            // Below 1, apart from a rounding.
            counts[((place * bins as f64) as usize).min(bins - 1)] += 1;
        }
        let n = self.places[parameter].len();
        let expected = n as f64 / bins as f64;
        RankHistogram { counts, expected, band: binomial_band(n, 1.0 / bins as f64) }
    }
}

/// The counts between which a binomial number lies, except with probability `OUTSIDE/2` below and
/// above.
fn binomial_band(n: usize, share: f64) -> (usize, usize) {
    let log_gamma = |k: usize| libm::lgamma(k as f64 + 1.0);
    let log_probability = |k: usize| {
        let choices = log_gamma(n) - log_gamma(k) - log_gamma(n - k);
        // A share of 1 has a single term, with a factor of 0·ln 0.
        let others = if k == n { 0.0 } else { (n - k) as f64 * (-share).ln_1p() };
        choices + k as f64 * share.ln() + others
    };
    let (mut sum, mut low) = (0.0, None);
    for k in 0..=n {
        sum += log_probability(k).exp();
        if sum > OUTSIDE / 2.0 {
            low.get_or_insert(k);
        }
        if sum >= 1.0 - OUTSIDE / 2.0 {
            return (low.unwrap_or(0), k);
        }
    }
    (low.unwrap_or(0), n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from scipy.stats.binom.ppf at 0.005 and 0.995.
    #[test]
    fn bands_are_binomial_quantiles() {
        assert_eq!(binomial_band(1000, 0.05), (33, 69));
        assert_eq!(binomial_band(20, 0.5), (4, 16));
        assert_eq!(binomial_band(7, 1.0), (7, 7));
    }
}
