//! Limits of the floating-point types.

use burn::tensor::DType;

/// The largest finite number.
pub(crate) fn largest_number(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MAX,
        DType::F16 => 65504.0,
        DType::BF16 => 3.389e38,
        _ => f64::from(f32::MAX),
    }
}

/// The next number of a type above a finite `x`; above 0 it is the smallest that is normal, since
/// some devices take smaller ones for 0.
pub(crate) fn next_above(x: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F64 if x == 0.0 => f64::MIN_POSITIVE,
        DType::F64 => x.next_up(),
        DType::F16 if x.abs() < 6.1e-5 => 6.1035e-5,
        _ if x as f32 == 0.0 => f64::from(f32::MIN_POSITIVE),
        // One to three spacings.
        DType::F16 | DType::BF16 => x + 1.5 * machine_epsilon(dtype) * x.abs(),
        _ => f64::from((x as f32).next_up()),
    }
}

/// Distance from 1 to the next larger number.
pub(crate) fn machine_epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 9.765625e-4,
        DType::BF16 => 7.8125e-3,
        _ => f64::from(f32::EPSILON),
    }
}
