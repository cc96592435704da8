//! Pareto k: the shape of the tail of importance weights.
//! ```text
//! tail      the M = ⌈min(n/5, 3√n)⌉ largest weights; u: the largest of the others
//! density   of y = w − u > 0:  (1/σ)(1 + k y/σ)^(−1/k − 1)        generalized Pareto
//! fit       θ = −k/σ,  k(θ) = mean ln(1 − θ y),  ℓ(θ) = M (ln(−θ/k(θ)) − k(θ) − 1)
//!           θ̂ = Σ_j θ_j exp ℓ(θ_j)/Σ_j exp ℓ(θ_j),   j = 1, …, J = 30 + ⌊√M⌋
//!           θ_j = 1/y_max + (1 − √(J/(j − ½)))/(3 y_quartile)
//!           k̂ = (M k(θ̂) + 10·½)/(M + 10)
//! ```
//! Moments of the weights of an order above `1/k` are infinite: with `k > ½` the variance of the
//! weights is, and with `k > 1` their mean is. The last line pulls `k` of a short tail towards ½,
//! with the weight of 10 samples.
//!
//! # Numerics
//! A scale of the weights changes nothing, so normalised weights are used. Where weights tie with
//! `u`, only the positive `y` are fitted. None of them is no tail: weights that are all equal have
//! `k = −∞`. Fewer than 5 have no shape, and `k = ∞`, as in the reference: a few weights outweigh
//! all others, which may be 0 beside them. So it is where the quartile of `y` is so small, relative
//! to the largest, that no `θ_j` is a float64.
//!
//! # Reference
//! Zhang & Stephens 2009, *A new and efficient estimation method for the generalized Pareto
//! distribution* (with the opposite sign of `k`); Vehtari et al. 2024, *Pareto smoothed importance
//! sampling*, whose rules for `M`, for small samples and for the threshold these are.

/// The shape of the tail of importance weights. The formulas head this module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParetoK {
    /// `k̂`; `−∞` for weights without a tail, `∞` for a tail that no distribution can be fitted to.
    pub k: f64,
    /// Number of weights that it was fitted to.
    pub tail: usize,
    /// Number of all weights.
    pub samples: usize,
}

/// Smallest number of weights that is fitted.
const LEAST_TAIL: usize = 5;

impl ParetoK {
    /// Smallest number of samples of a fit: a fifth of them are the 5 of the shortest tail.
    pub const LEAST_SAMPLES: usize = 5 * LEAST_TAIL;

    /// The largest `k` at which this number of samples is enough for reliable estimates:
    /// `min(1 − 1/log₁₀ n, 0.7)` (Vehtari et al. 2024, §3.2.4).
    pub fn threshold(&self) -> f64 {
        (1.0 - 1.0 / (self.samples as f64).log10()).min(0.7)
    }

    /// Whether `k` is at most [`ParetoK::threshold`].
    pub fn is_reliable(&self) -> bool {
        self.k <= self.threshold()
    }
}

/// Pareto k of weights, of which there are at least [`ParetoK::LEAST_SAMPLES`].
pub(super) fn of_weights(weights: &[f64]) -> ParetoK {
    let samples = weights.len();
    let mut sorted = weights.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let most = (samples as f64 / 5.0).min(3.0 * (samples as f64).sqrt()).ceil() as usize;
    let (others, largest) = sorted.split_at(samples - most);
    let cutoff = others.last().copied().unwrap_or(0.0);
    let excess: Vec<f64> =
        largest.iter().map(|weight| weight - cutoff).filter(|excess| *excess > 0.0).collect();
    let k = match excess.len() {
        0 => f64::NEG_INFINITY,
        tail if tail < LEAST_TAIL => f64::INFINITY,
        _ => shape(&excess),
    };
    ParetoK { k, tail: excess.len(), samples }
}

/// `k̂` of a sorted sample of positive numbers.
fn shape(sorted: &[f64]) -> f64 {
    let n = sorted.len() as f64;
    let grid = 30 + n.sqrt() as usize;
    let quartile = sorted[((n / 4.0 + 0.5) as usize).max(1) - 1];
    // The sample is sorted and not empty.
    let largest = sorted[sorted.len() - 1];
    let k = |theta: f64| sorted.iter().map(|y| (-theta * y).ln_1p()).sum::<f64>() / n;
    let points: Vec<(f64, f64)> = (1..=grid)
        .map(|j| {
            let theta =
                1.0 / largest + (1.0 - (grid as f64 / (j as f64 - 0.5)).sqrt()) / (3.0 * quartile);
            let k = k(theta);
            (theta, n * ((-theta / k).ln() - k - 1.0))
        })
        .filter(|(_, log_likelihood)| log_likelihood.is_finite())
        .collect();
    if points.is_empty() {
        return f64::INFINITY;
    }
    let best = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    let (sum, weighted) = points.iter().fold((0.0, 0.0), |(sum, weighted), (theta, log)| {
        let weight = (log - best).exp();
        (sum + weight, weighted + weight * theta)
    });
    (n * k(weighted / sum) + 10.0 * 0.5) / (n + 10.0)
}
