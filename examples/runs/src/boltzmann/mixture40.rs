//! Forty normal distributions in the plane, far from each other.
//! ```text
//! p(x) = 1/40 Σ_k N(x; μ_k, s²·I)      μ_k uniform in [−40, 40]²,  s = softplus(1) = 1.3133
//! ln Z = 0
//! ```
//! # Reference
//! Midgley, Stimper, Simm, Schölkopf & Hernández-Lobato 2023, *Flow annealed importance sampling
//! bootstrap*. The means are random there too; these are those of a seed of this program.

use std::f64::consts::PI;

use burn::tensor::{Tensor, TensorData};
use flowkit::importance::Target;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const MODES: usize = 40;

/// The mixture. The formulas head this module.
#[derive(Debug, Clone)]
pub struct Mixture40 {
    means: Vec<[f64; 2]>,
}

impl Mixture40 {
    /// The mixture whose means are those of a seed.
    pub fn new(seed: u64) -> Self {
        let mut generator = StdRng::seed_from_u64(seed);
        // 53 bits, the fraction of a float64.
        let mut uniform = || -40.0 + 80.0 * (generator.next_u64() >> 11) as f64 / 2f64.powi(53);
        Self { means: (0..MODES).map(|_| [uniform(), uniform()]).collect() }
    }

    /// The means of the modes.
    pub fn means(&self) -> &[[f64; 2]] {
        &self.means
    }

    /// The standard deviation of a mode.
    pub fn deviation() -> f64 {
        1f64.exp().ln_1p()
    }

    /// Number of modes that have at least a tenth of their share of these points.
    pub fn modes_reached(&self, points: &[[f64; 2]]) -> usize {
        let mut hits = vec![0; MODES];
        for point in points {
            let distance =
                |mean: &[f64; 2]| (point[0] - mean[0]).powi(2) + (point[1] - mean[1]).powi(2);
            let nearest = (0..MODES)
                .min_by(|&a, &b| distance(&self.means[a]).total_cmp(&distance(&self.means[b])));
            hits[nearest.unwrap_or(0)] += 1;
        }
        hits.into_iter().filter(|&hits| hits * 10 * MODES >= points.len()).count()
    }
}

impl Target<2> for Mixture40 {
    fn log_density(&self, x: Tensor<2>) -> Tensor<1> {
        let (n, variance) = (x.dims()[0], Self::deviation().powi(2));
        let means = TensorData::new(self.means.concat(), [1, MODES, 2]).convert_dtype(x.dtype());
        let means = Tensor::<3>::from_data(means, (&x.device(), x.dtype()));
        let squares = (x.reshape([n, 1, 2]) - means).square().sum_dim(2).squeeze_dim::<2>(2);
        let nats = squares.mul_scalar(-0.5 / variance);
        let most = nats.clone().detach().max_dim(1);
        let sum = (nats - most.clone()).exp().sum_dim(1).log() + most;
        let constant = -(MODES as f64).ln() - (2.0 * PI * variance).ln();
        sum.squeeze_dim::<1>(1).add_scalar(constant)
    }
}
