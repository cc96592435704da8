//! What the tests of priors share.

use std::f64::consts::PI;

use burn::tensor::{DType, Device, Tensor, TensorData};

#[allow(dead_code)] // `uniform_box` does not call it.
pub fn device() -> Device {
    Device::flex().autodiff()
}

#[allow(dead_code)] // `uniform_box` does not call it.
pub fn double<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&device(), DType::F64))
}

pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

#[allow(dead_code)] // `uniform_box` does not call it.
pub fn normal(z: f64, mean: f64, log_scale: f64) -> f64 {
    -0.5 * ((z - mean) / log_scale.exp()).powi(2) - log_scale - 0.5 * (2.0 * PI).ln()
}

pub fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{found} {expected}");
    }
}

/// Mean and variance of each of two columns.
pub fn moments(z: &[f64]) -> [(f64, f64); 2] {
    [0, 1].map(|column| {
        let values: Vec<f64> = z.iter().skip(column).step_by(2).copied().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n)
    })
}

/// Five standard errors of the mean and, with kurtosis `kurtosis`, of the variance.
pub fn near(found: (f64, f64), mean: f64, variance: f64, kurtosis: f64, n: usize) {
    let root = (n as f64).sqrt();
    assert!(
        (found.0 - mean).abs() <= 5.0 * variance.sqrt() / root + 1e-6,
        "mean {} {mean}",
        found.0
    );
    let error = variance * (kurtosis - 1.0).sqrt() / root;
    assert!((found.1 - variance).abs() <= 5.0 * error + 1e-9, "variance {} {variance}", found.1);
}
