//! How far two answers are apart.

use burn::tensor::Tensor;

/// The values of a tensor, row by row.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.without_autodiff().into_data().iter::<f64>().collect()
}

/// `max |a − b| / max(1, max |b|)`, which must be at most `limit`.
///
/// # Panics
/// If it is more, or a number is not finite.
pub fn within(limit: f64, what: &str, found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    let mut gap = 0.0f64;
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        // Also false for a NaN.
        assert!(
            error <= limit,
            "{what}: element {index} is {found}, not {expected}: {error:.1e} above {limit:.1e}"
        );
        gap = gap.max(error);
    }
    gap
}
