//! Between tensors and plain float64 numbers, and random numbers of the host: the device's seed is global, tests run in parallel.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Held by whoever draws from the device's generator: lazy parameters, dropout, noise. One that relies on a seed shares it with all others.
pub fn device_rng() -> MutexGuard<'static, ()> {
    static DEVICE_RNG: Mutex<()> = Mutex::new(());
    DEVICE_RNG.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn normal(rng: &mut StdRng, n: usize, deviation: f64) -> Vec<f64> {
    (0..n).map(|_| deviation * Distribution::<f64>::sample(&StandardNormal, rng)).collect()
}

pub fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D], dtype: DType, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
}

pub fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Largest size; NaN if any is NaN.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, value| if value.is_nan() || value.abs() > max { value.abs() } else { max })
}

/// Largest difference; NaN if any is NaN.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    largest(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}
