//! The Kolmogorov-Smirnov test of uniform numbers.
//! ```text
//! D = max_i max( i/n − u_(i),  u_(i) − (i − 1)/n )        u_(1) ≤ … ≤ u_(n)
//! λ = (√n + 0.12 + 0.11/√n)·D
//! p = Q(λ) = 2 Σ_k≥1 (−1)^(k−1) e^(−2k²λ²)                if λ is large
//!          = 1 − √(2π)/λ · Σ_k≥1 e^(−(2k−1)²π²/(8λ²))     if it is small
//! ```
//! # Numerics
//! Both series are exact; each is used where three of its terms reach float64: the first for
//! `λ > 1.18`, where its fourth term is below `e^−44`. The correction of `λ` holds for `n ≥ 4` to
//! about 1 %.
//!
//! # Reference
//! Stephens 1970 (the correction); Marsaglia, Tsang & Wang 2003 (the series).

use std::f64::consts::PI;

/// The probability that so many independent uniform numbers deviate from the uniform distribution
/// at least as much as `values` do, which lie in [0, 1]. A small p-value is evidence that the
/// numbers are not uniform. For no numbers it is 1; NaN among them leads to NaN.
///
/// ```
/// use flowkit::calibration::kolmogorov_smirnov;
///
/// let even: Vec<f64> = (0..100).map(|i| (f64::from(i) + 0.5) / 100.0).collect();
/// assert!(kolmogorov_smirnov(&even) > 0.999);
/// let squared: Vec<f64> = even.iter().map(|u| u * u).collect();
/// assert!(kolmogorov_smirnov(&squared) < 1e-4); // D = 1/4
/// ```
pub fn kolmogorov_smirnov(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let n = values.len() as f64;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let gap = |(place, value): (usize, &f64)| {
        ((place + 1) as f64 / n - value).max(value - place as f64 / n)
    };
    let distance = sorted.iter().enumerate().map(gap).fold(0.0, f64::max);
    survival((n.sqrt() + 0.12 + 0.11 / n.sqrt()) * distance)
}

/// `Q(λ)`.
fn survival(lambda: f64) -> f64 {
    if lambda.is_nan() || lambda <= 0.0 {
        return 1.0;
    }
    if lambda > 1.18 {
        let term = |k: i32| f64::from(k * k) * -2.0 * lambda * lambda;
        return 2.0 * (term(1).exp() - term(2).exp() + term(3).exp());
    }
    let term =
        |k: i32| (-f64::from((2 * k - 1) * (2 * k - 1)) * PI * PI / (8.0 * lambda * lambda)).exp();
    1.0 - (2.0 * PI).sqrt() / lambda * (1..=4).map(term).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from scipy.special.kolmogorov.
    #[test]
    fn survival_is_that_of_the_kolmogorov_distribution() {
        let cases = [
            (0.3, 0.999_990_694_198_665_5),
            (0.5, 0.963_945_243_664_875_1),
            (1.0, 0.269_999_671_677_354_56),
            (1.17, 0.129_390_042_185_618_84),
            (1.19, 0.117_742_292_879_771_66),
            (2.0, 0.000_670_925_255_779_695_3),
        ];
        for (lambda, expected) in cases {
            assert!((survival(lambda) - expected).abs() < 1e-9, "{lambda}: {}", survival(lambda));
        }
    }

    #[test]
    fn no_number_is_no_evidence() {
        assert_eq!(kolmogorov_smirnov(&[]), 1.0);
        assert!(kolmogorov_smirnov(&[f64::NAN]).is_nan());
        assert!(kolmogorov_smirnov(&[0.1, f64::NAN, 0.5]).is_nan());
    }
}
