//! Two interleaved half circles with noise: points of a plane whose density is known.

use std::f64::consts::PI;

use burn::tensor::{Device, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Points of two moons, half of them on each.
///
/// ```text
/// t ~ U(0, π)    moon 0:  (cos t, sin t)    moon 1:  (1 − cos t, ½ − sin t)   each + noise·N(0, I)
/// ln p(x | moon) = ln 1/π ∫ N(x; arc(t), noise²·I) dt        ln p(x) = ln mean of both
/// ```
///
/// ```
/// use burn::tensor::Device;
/// use flowkit::data::TwoMoons;
///
/// let moons = TwoMoons::new(1000, 0.1, 7);
/// assert_eq!(moons.points(&Device::default()).dims(), [1000, 2]);
/// // Knowing the moon is worth one bit.
/// let gain = moons.mean_log_prob_given_moon() - moons.mean_log_prob();
/// assert!((gain - 2f64.ln()).abs() < 0.02);
/// ```
#[derive(Clone, Debug)]
pub struct TwoMoons {
    points: Vec<[f64; 2]>,
    noise: f64,
}

/// Points of the integral over a moon's arc, whose length is π. They are far closer together than
/// the deviation of any noise that leaves a moon visible.
const ARC_POINTS: usize = 1000;

impl TwoMoons {
    /// `n` points: the even ones of moon 0, the odd ones of moon 1. The same for the same seed.
    ///
    /// # Panics
    /// If `noise` is not in [0.02, 1e18], or if there is not enough memory for `n` points. The
    /// lower bound exists because the integral of the density is taken at a thousand points of an
    /// arc of length π; the upper bound keeps the squares of the points finite in float32.
    pub fn new(n: usize, noise: f64, seed: u64) -> Self {
        assert!(
            (0.02..=1e18).contains(&noise),
            "TwoMoons: `noise` must lie in [0.02, 1e18], found {noise}"
        );
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let point = |index| {
            // 53 bits, the fraction of a float64.
            let t = PI * (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            arc(index % 2, t).map(|x| {
                let draw: f64 = StandardNormal.sample(&mut generator);
                x + noise * draw
            })
        };
        // 2^36 points of 16 bytes are 1 TiB. An allocator may promise more than that, but no
        // machine has it.
        let fits = n as u64 <= 1 << 36;
        let mut points = Vec::new();
        assert!(
            fits && points.try_reserve_exact(n).is_ok(),
            "TwoMoons: not enough memory for {n} points"
        );
        points.extend((0..n).map(point));
        Self { points, noise }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The points, `[n, 2]`.
    pub fn points(&self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.points.concat(), [self.len(), 2]), device)
    }

    /// The points `rows`, in this order, `[rows.len(), 2]`.
    ///
    /// # Panics
    /// If there is no such point.
    pub fn batch(&self, rows: &[usize], device: &Device) -> Tensor<2> {
        let points: Vec<f64> = rows.iter().flat_map(|&row| self.points[row]).collect();
        Tensor::from_data(TensorData::new(points, [rows.len(), 2]), device)
    }

    /// The moon of each point, one-hot: `[n, 2]`.
    pub fn moons(&self, device: &Device) -> Tensor<2> {
        let rows: Vec<f32> =
            (0..self.len()).flat_map(|index| [[1.0, 0.0], [0.0, 1.0]][index % 2]).collect();
        Tensor::from_data(TensorData::new(rows, [self.len(), 2]), device)
    }

    /// Mean of the true `ln p(x)` over the points, in nats. For many points, no model has a higher
    /// mean.
    ///
    /// # Panics
    /// If there is no point.
    pub fn mean_log_prob(&self) -> f64 {
        assert!(!self.is_empty(), "TwoMoons: a mean requires at least one point");
        let log_prob =
            |&point: &[f64; 2]| (0.5 * (self.density(point, 0) + self.density(point, 1))).ln();
        self.points.iter().map(log_prob).sum::<f64>() / self.len() as f64
    }

    /// Mean of the true `ln p(x | moon)` over the points, in nats.
    ///
    /// # Panics
    /// If there is no point.
    pub fn mean_log_prob_given_moon(&self) -> f64 {
        assert!(!self.is_empty(), "TwoMoons: a mean requires at least one point");
        let log_prob = |(index, &point): (usize, &[f64; 2])| self.density(point, index % 2).ln();
        self.points.iter().enumerate().map(log_prob).sum::<f64>() / self.len() as f64
    }

    fn density(&self, [x, y]: [f64; 2], moon: usize) -> f64 {
        let precision = self.noise.powi(-2);
        let normal = |step: usize| {
            let [a, b] = arc(moon, PI * (step as f64 + 0.5) / ARC_POINTS as f64);
            (-0.5 * precision * ((x - a).powi(2) + (y - b).powi(2))).exp()
        };
        (0..ARC_POINTS).map(normal).sum::<f64>() / ARC_POINTS as f64 * precision / (2.0 * PI)
    }
}

fn arc(moon: usize, t: f64) -> [f64; 2] {
    match moon {
        0 => [t.cos(), t.sin()],
        _ => [1.0 - t.cos(), 0.5 - t.sin()],
    }
}
