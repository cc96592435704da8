//! Summaries of the values of a tensor, computed in float64 on the host.

use burn::tensor::Tensor;
use serde::Serialize;

use crate::error::FlowError;

/// Largest and mean absolute difference. NaN if a difference is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Size {
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
}

/// Smallest and largest of the finite values; NaN if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

pub(super) fn numbers<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f64>, FlowError> {
    let data = tensor
        .clone()
        .inner()
        .try_into_data()
        .map_err(|error| FlowError::Device(error.to_string()))?;
    Ok(data.iter::<f64>().collect())
}

/// Size of `a − b`.
pub(super) fn difference<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> Result<Size, FlowError> {
    let sizes: Vec<f64> =
        numbers(a)?.into_iter().zip(numbers(b)?).map(|(a, b)| (a - b).abs()).collect();
    if sizes.iter().any(|size| !size.is_finite()) {
        return Ok(Size { max: f64::NAN, mean: f64::NAN });
    }
    let max = sizes.iter().copied().fold(0.0, f64::max);
    Ok(Size { max, mean: sizes.iter().sum::<f64>() / sizes.len() as f64 })
}

/// Extremes of the finite values.
pub(super) fn extremes(values: impl Iterator<Item = f64>) -> Range {
    let none = Range { min: f64::NAN, max: f64::NAN };
    // `min` and `max` of floats ignore NaN.
    values
        .filter(|value| value.is_finite())
        .fold(none, |Range { min, max }, value| Range { min: value.min(min), max: value.max(max) })
}

pub(super) fn range<const D: usize>(tensor: &Tensor<D>) -> Result<Range, FlowError> {
    Ok(extremes(numbers(tensor)?.into_iter()))
}

pub(super) fn mean(tensor: &Tensor<1>) -> Result<f64, FlowError> {
    let values = numbers(tensor)?;
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

pub(super) fn count_non_finite<const D: usize>(tensor: &Tensor<D>) -> Result<usize, FlowError> {
    Ok(numbers(tensor)?.into_iter().filter(|value| !value.is_finite()).count())
}
