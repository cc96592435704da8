//! The one table of tolerances. Each is a count of roundings times the spacing of the type times a size that the property measures.

use burn::tensor::DType;

/// Distance from 1 to the next number.
pub fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `f⁻¹(f(x))` and `x`, or `f(f⁻¹(z))` and `z`, in units of what one rounding of the value in between does to the result (`‖J⁻¹‖·|z|`
    /// and `‖J‖·|x|`). A layer rounds its numbers some ten times on the way; of both ways and a dozen layers, 8 in the same direction.
    RoundTrip,
    /// Two ways to the same log-determinant in float64, one of them through an LU of 12x12: 12 pivots of 12 roundings each, and the dozen
    /// layers' own sums.
    LogDet,
    /// The same operations in another grouping: a batch and its examples, a graph and none.
    Regrouped,
    /// A gradient of the memory-saving walk, which starts from an `x` that the inverses have rebuilt: the round trip's roundings, times the
    /// second derivatives. 1e-9 in float64.
    Walk,
}

/// Tolerated relative difference.
pub fn tolerance(kind: Kind, dtype: DType) -> f64 {
    let roundings = match kind {
        Kind::RoundTrip => 8.0,
        Kind::LogDet => 1024.0,
        Kind::Regrouped => 256.0,
        Kind::Walk => 4.0e6,
    };
    roundings * epsilon(dtype)
}
