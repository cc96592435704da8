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

/// Distance from 1 to the next larger number.
pub(crate) fn machine_epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 9.765625e-4,
        DType::BF16 => 7.8125e-3,
        _ => f64::from(f32::EPSILON),
    }
}
