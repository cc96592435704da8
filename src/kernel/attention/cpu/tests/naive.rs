//! The formulas in f64, with random problems.

use crate::kernel::attention::cpu::head::Dims;
use crate::kernel::cpu::simd::Real;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Numbers of examples, heads, channels of a head, and positions.
pub type Size = [usize; 4];

/// The sizes of the models, and odd ones.
pub const SIZES: [Size; 18] = [
    [2, 4, 8, 512],
    [1, 4, 24, 512],
    [2, 4, 8, 256],
    [1, 2, 24, 256],
    [2, 2, 8, 128],
    [1, 2, 24, 128],
    [1, 3, 12, 100],
    [2, 2, 64, 64],
    [1, 1, 64, 77],
    [3, 1, 1, 65],
    [1, 2, 3, 129],
    [2, 2, 5, 31],
    [2, 2, 8, 33],
    [1, 1, 16, 16],
    [2, 3, 8, 1],
    [1, 1, 1, 1],
    [1, 2, 9, 2],
    [1, 1, 24, 333],
];

/// Inputs, outputs and gradients in f64.
#[derive(Debug)]
pub struct Problem {
    pub size: Size,
    pub projected: Vec<f64>,
    pub gradient: Vec<f64>,
    pub output: Vec<f64>,
    pub log_sums: Vec<f64>,
    pub projected_gradient: Vec<f64>,
}

impl Problem {
    /// Elements between −1 and 1, queries and keys times `factor`, exact in f32.
    pub fn random(size: Size, factor: f64) -> Self {
        let [examples, heads, channels, positions] = size;
        let n = heads * channels * positions;
        let mut rng = StdRng::seed_from_u64(7);
        let mut draw = |size: f64| f64::from((size * (2.0 * rng.random::<f64>() - 1.0)) as f32);
        let projected =
            (0..3 * examples * n).map(|i| draw(if i / n % 3 < 2 { factor } else { 1.0 })).collect();
        let gradient = (0..examples * n).map(|_| draw(1.0)).collect();
        Self::new(size, projected, gradient)
    }

    pub fn new(size: Size, projected: Vec<f64>, gradient: Vec<f64>) -> Self {
        let [examples, heads, d, p] = size;
        let f = heads * d;
        let scale = (d as f64).powf(-0.5);
        let mut output = vec![0.0; examples * f * p];
        let mut log_sums = vec![0.0; examples * heads * p];
        let mut projected_gradient = vec![0.0; projected.len()];
        for (b, h) in (0..examples).flat_map(|b| (0..heads).map(move |h| (b, h))) {
            let at = |part: usize, c: usize| (b * 3 * f + part * f + h * d + c) * p;
            let of = |c: usize| (b * f + h * d + c) * p;
            for i in 0..p {
                let dot = |part: usize, x: &dyn Fn(usize) -> f64, j: usize| -> f64 {
                    (0..d).map(|c| x(c) * projected[at(part, c) + j]).sum()
                };
                let scores: Vec<f64> =
                    (0..p).map(|j| scale * dot(1, &|c| projected[at(0, c) + i], j)).collect();
                let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - highest).exp()).sum();
                log_sums[(b * heads + h) * p + i] = highest + sum.ln();
                let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp() / sum).collect();
                for c in 0..d {
                    output[of(c) + i] = (0..p).map(|j| weights[j] * projected[at(2, c) + j]).sum();
                }
                let mean: f64 = (0..d).map(|c| gradient[of(c) + i] * output[of(c) + i]).sum();
                for j in 0..p {
                    let of_score = weights[j] * (dot(2, &|c| gradient[of(c) + i], j) - mean);
                    for c in 0..d {
                        projected_gradient[at(0, c) + i] +=
                            scale * of_score * projected[at(1, c) + j];
                        projected_gradient[at(1, c) + j] +=
                            scale * of_score * projected[at(0, c) + i];
                        projected_gradient[at(2, c) + j] += weights[j] * gradient[of(c) + i];
                    }
                }
            }
        }
        Self { size, projected, gradient, output, log_sums, projected_gradient }
    }

    pub fn shape(&self) -> [usize; 3] {
        let [examples, heads, channels, positions] = self.size;
        [examples, heads * channels, positions]
    }

    pub fn dims(&self) -> Dims {
        Dims::new(self.shape(), self.size[1])
    }

    /// Queries, keys and values of a tensor of the shape of `projected`.
    pub fn parts(&self, projected: &[f64]) -> [Vec<f64>; 3] {
        let n: usize = self.shape()[1..].iter().product();
        [0, 1, 2].map(|part| {
            projected.chunks(3 * n).flat_map(|example| &example[part * n..][..n]).copied().collect()
        })
    }
}

/// The elements, rounded to the type.
pub fn rounded<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::of(x)).collect()
}

/// The elements in f64, without rounding.
pub fn widened<T: Real>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64().unwrap()).collect()
}

/// Largest difference, divided by the largest element of the second slice. NaN if there is one.
pub fn error(found: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let scale = truth.iter().fold(f64::MIN_POSITIVE, |scale, x| scale.max(x.abs()));
    let differences = found.iter().zip(truth).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |worst, x| if x > worst || x.is_nan() { x } else { worst }) / scale
}
