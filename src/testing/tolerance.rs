//! The one table of tolerances. Each is a count of roundings times the spacing of the type times a
//! size that the check measures.
//!
//! | kind | float32 | float64 | in units of |
//! |---|---|---|---|
//! | [`Kind::RoundTrip`] | 9.5e-7 | 1.8e-15 | the value's size and `‖J⁻¹‖` times the size of the value in between |
//! | [`Kind::LogDet`] | 1.2e-4 | 2.3e-13 | `1 + \|log_det\|` |
//! | [`Kind::Regrouped`] | 3.1e-5 | 5.7e-14 | `1 +` the largest value |
//! | [`Kind::Walk`] | 0.48 | 8.9e-10 | `1 +` the largest gradient |
//! | [`Kind::Precision`] | 9.5e-7 | 1.8e-15 | `1 +` the value's size, and `‖J‖` times the size of the input |
//!
//! The walk is compared in float64 only.

use burn::tensor::{DType, Device};

/// Distance from 1 to the next number.
pub fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `f⁻¹(f(x))` and `x`, or `f(f⁻¹(z))` and `z`, in units of what one rounding of the value in
    /// between does to the result (`‖J⁻¹‖·|z|` and `‖J‖·|x|`). A layer rounds its numbers some ten
    /// times on the way; of both ways and a dozen layers, 8 in the same direction.
    RoundTrip,
    /// Two ways to the same log-determinant in float64, one of them through an LU of 12x12: 12
    /// pivots of 12 roundings each, and the dozen layers' own sums.
    LogDet,
    /// The same operations in another grouping: a batch and its examples, a graph and none.
    Regrouped,
    /// A gradient of the memory-saving walk, which starts from an `x` that the inverses have
    /// rebuilt: the round trip's roundings, times the second derivatives. 1e-9 in float64.
    Walk,
    /// The same map in float32 and in float64 from the same numbers, in units of the value and of
    /// what one rounding of the input does to it (`‖J‖·|x|`, and the gradient for the
    /// log-determinant): as for the round trip, 8 in the same direction.
    Precision,
}

/// Tolerated relative difference.
pub fn tolerance(kind: Kind, dtype: DType) -> f64 {
    let roundings = match kind {
        Kind::RoundTrip => 8.0,
        Kind::LogDet => 1024.0,
        Kind::Regrouped => 256.0,
        Kind::Walk => 4.0e6,
        Kind::Precision => 8.0,
    };
    roundings * epsilon(dtype)
}

/// How much coarser a device may be than correctly rounded functions, which the float32 tolerances
/// count on: 1 on burn's CPU backend, 8 on others.
///
/// WGSL allows `exp(x)` an error of 3 + 2|x| units in the last place where a CPU's library has 1
/// (WebGPU Shading Language, §15.7.4), and the mixture takes exponentials of log-scales up to 10.
pub fn roughness(device: &Device) -> f64 {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return 1.0;
    }
    let _ = device;
    8.0
}

/// How far a value may be from the one that the same operations gave before, relative to `1 +` the
/// largest: nothing on burn's CPU backend. Others may fuse them otherwise the second time, which
/// regroups them.
pub fn repetition(dtype: DType, device: &Device) -> f64 {
    tolerance(Kind::Regrouped, dtype) * (roughness(device) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table that heads this module.
    #[test]
    fn tolerances_are_as_documented() {
        let rows = [
            (Kind::RoundTrip, 9.5e-7, 1.8e-15),
            (Kind::LogDet, 1.2e-4, 2.3e-13),
            (Kind::Regrouped, 3.1e-5, 5.7e-14),
            (Kind::Walk, 0.48, 8.9e-10),
            (Kind::Precision, 9.5e-7, 1.8e-15),
        ];
        for (kind, single, double) in rows {
            assert!((tolerance(kind, DType::F32) / single - 1.0).abs() < 0.05, "{kind:?}");
            assert!((tolerance(kind, DType::F64) / double - 1.0).abs() < 0.05, "{kind:?}");
        }
    }
}
