//! Conversions between tensors and float64 values, and random numbers of the host. The
//! device's seed is global, and tests run in parallel.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use super::failure::Fault;

/// A lock for code that samples from a device's generator (new modules, dropout, noise), which all
/// threads share. The checks hold it while they seed a device. Hold it in your own tests that run
/// beside them and rely on a seed.
pub fn device_rng() -> MutexGuard<'static, ()> {
    static DEVICE_RNG: Mutex<()> = Mutex::new(());
    DEVICE_RNG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `n` samples of a normal distribution with mean 0, from a host generator with this seed.
pub fn normal(seed: u64, n: usize, deviation: f64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..n).map(|_| deviation * Distribution::<f64>::sample(&StandardNormal, &mut rng)).collect()
}

/// A tensor of these values, row by row.
///
/// # Panics
/// If their count does not match the shape.
pub fn tensor<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
}

/// The elements of a tensor, row by row.
pub fn elements<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

/// `Σ a·b`.
///
/// # Panics
/// If the lengths differ.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "a product of lists requires equal lengths");
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Largest magnitude; NaN if any is NaN.
pub fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |max, value| if value.is_nan() || value.abs() > max { value.abs() } else { max })
}

/// Largest difference; NaN if any is NaN.
///
/// # Panics
/// If the lengths differ.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "a comparison of lists requires equal lengths");
    largest(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// The elements of a tensor with their shape.
pub(super) struct Elements {
    pub(super) values: Vec<f64>,
    dims: Vec<usize>,
}

impl Elements {
    pub(super) fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        Self { values: elements(tensor), dims: tensor.dims().to_vec() }
    }

    /// The elements of a parameter, whose shape does not matter.
    pub(super) fn list(values: Vec<f64>) -> Self {
        Self { dims: vec![values.len()], values }
    }

    fn per_example(&self) -> usize {
        (self.values.len() / self.dims[0].max(1)).max(1)
    }

    pub(super) fn example(&self, index: usize) -> &[f64] {
        let n = self.per_example();
        &self.values[index * n..(index + 1) * n]
    }

    /// Index along each axis of the element `flat`.
    fn place(&self, flat: usize) -> Vec<usize> {
        let mut rest = flat;
        let mut place: Vec<usize> =
            self.dims.iter().rev().map(|&length| (rest % length, rest /= length).0).collect();
        place.reverse();
        place
    }

    /// `Ok` if all are finite.
    pub(super) fn finite(&self, what: &str) -> Result<(), Fault> {
        match self.values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(flat) => Err(Fault::NotFinite {
                what: what.to_owned(),
                index: self.place(flat),
                found: self.values[flat],
            }),
        }
    }

    /// Compares element by element, with a tolerance for each example. Returns the largest share of
    /// the tolerance that was used.
    pub(super) fn near(
        &self,
        what: &str,
        expected: &Self,
        allowed: impl Fn(usize) -> f64,
    ) -> Result<f64, Fault> {
        if self.dims != expected.dims {
            let (found, expected) = (self.dims.clone(), expected.dims.clone());
            return Err(Fault::Shape { what: what.to_owned(), found, expected });
        }
        let mut worst: Option<(f64, usize)> = None;
        for (flat, (found, expected)) in self.values.iter().zip(&expected.values).enumerate() {
            let allowed = allowed(flat / self.per_example());
            let error = (found - expected).abs();
            // Two equal infinities do not agree: their difference is NaN.
            let share = match error <= allowed {
                true if error == 0.0 => 0.0,
                true => error / allowed,
                false if error.is_nan() || allowed.is_nan() => f64::INFINITY,
                false => (error / allowed).max(1.0 + f64::EPSILON),
            };
            if worst.is_none_or(|(most, _)| share > most) {
                worst = Some((share, flat));
            }
        }
        match worst {
            Some((share, flat)) if share > 1.0 && !self.values[flat].is_finite() => {
                Err(Fault::NotFinite {
                    what: what.to_owned(),
                    index: self.place(flat),
                    found: self.values[flat],
                })
            }
            Some((share, flat)) if share > 1.0 => Err(Fault::Differs {
                what: what.to_owned(),
                index: self.place(flat),
                found: self.values[flat],
                expected: expected.values[flat],
                allowed: allowed(flat / self.per_example()),
            }),
            worst => Ok(worst.map_or(0.0, |(share, _)| share)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_number_is_named_by_its_place() {
        let table = |values: Vec<f64>| Elements { values, dims: vec![2, 3] };
        let found = table(vec![0.0, 1.0, 2.0, 3.0, 4.5, 5.25]);
        let expected = table(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(found.near("x", &expected, |_| 1.0), Ok(0.5));
        let allowed = |example| if example == 0 { 0.0 } else { 0.3 };
        let Err(Fault::Differs { index, found, allowed, .. }) = found.near("x", &expected, allowed)
        else {
            panic!("0.5 is more than 0.3");
        };
        assert_eq!((index, found, allowed), (vec![1, 1], 4.5, 0.3));
        assert!(table(vec![f64::NAN; 6]).near("x", &expected, |_| f64::INFINITY).is_err());
        assert!(expected.near("x", &expected, |_| f64::NAN).is_err());
    }
}
