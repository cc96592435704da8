//! The only table of tolerances. Each tolerance is a number of roundings times the spacing of the
//! type times a magnitude that the check measures.
//!
//! | kind | float32 | float64 | in units of |
//! |---|---|---|---|
//! | [`Kind::RoundTrip`] | 9.5e-7 | 1.8e-15 | the value's magnitude and `‖J⁻¹‖` times the magnitude of the intermediate value |
//! | [`Kind::LogDet`] | 1.2e-4 | 2.3e-13 | `1 + \|log_det\|` |
//! | [`Kind::Regrouped`] | 3.1e-5 | 5.7e-14 | `1 +` the largest value |
//! | [`Kind::Replay`] | 0.48 | 8.9e-10 | `1 +` the largest gradient |
//! | [`Kind::Precision`] | 9.5e-7 | 1.8e-15 | `1 +` the value's magnitude, and `‖J‖` times the magnitude of the input |
//!
//! The memory-saving pass is compared in float64 only.

use burn::tensor::{DType, Device};

/// Distance from 1 to the next larger number.
pub fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `f⁻¹(f(x))` and `x`, or `f(f⁻¹(z))` and `z`, in units of the effect that one rounding of the
    /// intermediate value has on the result (`‖J⁻¹‖·|z|` and `‖J‖·|x|`). A layer rounds its
    /// elements about ten times; of the roundings of both directions and a dozen layers, 8 act in
    /// the same direction.
    RoundTrip,
    /// Two computations of the same log-determinant in float64, one of them by an LU factorization
    /// of a 12x12 matrix: 12 pivots of 12 roundings each, and the sums of a dozen layers.
    LogDet,
    /// The same operations, grouped differently: a batch and its examples, with and without a
    /// graph.
    Regrouped,
    /// A gradient of the memory-saving pass, which starts from an `x` that the inverses have
    /// rebuilt: the roundings of the round trip, times the second derivatives. 1e-9 in float64.
    Replay,
    /// The same map in float32 and in float64 at the same inputs, in units of the value and of the
    /// effect that one rounding of the input has on it (`‖J‖·|x|`, and the gradient for the
    /// log-determinant). As for the round trip, 8 roundings act in the same direction.
    Precision,
}

/// Tolerated relative difference.
pub fn tolerance(kind: Kind, dtype: DType) -> f64 {
    let roundings = match kind {
        Kind::RoundTrip => 8.0,
        Kind::LogDet => 1024.0,
        Kind::Regrouped => 256.0,
        Kind::Replay => 4.0e6,
        Kind::Precision => 8.0,
    };
    roundings * epsilon(dtype)
}

/// How much less accurate a device may be than correctly rounded functions, which the float32
/// tolerances assume: 1 on burn's CPU backend, 8 on others.
///
/// WGSL allows `exp(x)` an error of 3 + 2|x| units in the last place, where a CPU's library has 1
/// (WebGPU Shading Language, §15.7.4), and the mixture takes exponentials of log-scales up to 10.
pub fn roughness(device: &Device) -> f64 {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return 1.0;
    }
    let _ = device;
    8.0
}

/// How far a value may be from the result of the same operations in an earlier run, relative to
/// `1 +` the largest: 0 on burn's CPU backend. Other backends may fuse the operations differently
/// the second time, which regroups them.
pub fn repetition(dtype: DType, device: &Device) -> f64 {
    tolerance(Kind::Regrouped, dtype) * (roughness(device) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the table at the head of this module.
    #[test]
    fn tolerances_are_as_documented() {
        let rows = [
            (Kind::RoundTrip, 9.5e-7, 1.8e-15),
            (Kind::LogDet, 1.2e-4, 2.3e-13),
            (Kind::Regrouped, 3.1e-5, 5.7e-14),
            (Kind::Replay, 0.48, 8.9e-10),
            (Kind::Precision, 9.5e-7, 1.8e-15),
        ];
        for (kind, single, double) in rows {
            assert!((tolerance(kind, DType::F32) / single - 1.0).abs() < 0.05, "{kind:?}");
            assert!((tolerance(kind, DType::F64) / double - 1.0).abs() < 0.05, "{kind:?}");
        }
    }
}
