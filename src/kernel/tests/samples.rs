//! Code that the tests of the kernels share.
use crate::kernel::cpu::scratch::Scratch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Numbers in (−2, 2), some of them 0.
pub fn elements(length: usize, seed: u64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..length)
        .map(|i| if i % 17 == 5 { 0.0 } else { f64::from(rng.random_range(-2.0f32..2.0)) })
        .collect()
}

pub fn cast<T: Scratch>(elements: &[f64]) -> Vec<T> {
    elements.iter().map(|&number| T::of(number)).collect()
}

/// Largest difference, relative to the largest expected number.
pub fn error<T: Scratch>(found: &[T], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1e-30, |size: f64, number| size.max(number.abs()));
    let pairs = found.iter().zip(expected);
    // Not `max`, which drops NaN.
    pairs
        .map(|(found, expected)| (found.to_f64().unwrap() - expected).abs() / size)
        .fold(0.0, |a, b| if a > b { a } else { b })
}

/// Runs `work` on a pool of `threads` threads.
pub fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(work)
}

/// The gradient of `Σ g·f(x)` by central differences.
pub fn differences(x: &[f64], g: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let step = 1e-5;
    let value = |x: &[f64]| f(x).iter().zip(g).map(|(y, g)| y * g).sum::<f64>();
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let old = x[i];
            x[i] = old + step;
            let above = value(&x);
            x[i] = old - step;
            let below = value(&x);
            x[i] = old;
            (above - below) / (2.0 * step)
        })
        .collect()
}
