//! Scalar field theory with a quartic term, on a periodic square lattice.
//! ```text
//! S(φ) = Σ_x [ −2κ Σ_μ φ_x φ_{x+μ} + (1 − 2λ) φ_x² + λ φ_x⁴ ]    ln p̃ = −S;  μ: two directions
//! |m|  = |Σ_x φ_x|/V                     G(t) = mean of φ_x φ_{x+tμ} over x and μ
//! ```
//! The sum over sites is invariant under `φ → −φ` and under shifts of the lattice.
//!
//! [`Phi4::metropolis`] is an independent check: a Metropolis chain with updates of one site after
//! the other, whose errors come from 50 batches.
//!
//! # Reference
//! Nicoli, Anders, Funcke, Hartung, Jansen, Kessel, Nakajima & Stornati 2021, *Estimation of
//! thermodynamic observables in lattice field theories with deep generative models* (the action);
//! Albergo, Kanwar & Shanahan 2019 (flows for it).

use burn::tensor::Tensor;
use flowkit::importance::{Estimate, Target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The theory at one pair of couplings. The formulas head this module.
#[derive(Debug, Clone, Copy)]
pub struct Phi4 {
    /// Hopping parameter `κ`.
    pub kappa: f64,
    /// Quartic coupling `λ`.
    pub lambda: f64,
}

/// Sites along each side.
const SIDE: usize = 8;
/// Batches of the errors of a chain.
const BATCHES: usize = 50;

/// Observables of each configuration.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// `|m|`.
    pub magnetisation: Vec<f64>,
    /// `G(t)` for `t = 0, …, 4`.
    pub two_point: [Vec<f64>; SIDE / 2 + 1],
}

/// Their means.
#[derive(Debug, Clone, Copy)]
pub struct Observables {
    /// `⟨|m|⟩`.
    pub magnetisation: Estimate,
    /// `⟨G(t)⟩`.
    pub two_point: [Estimate; SIDE / 2 + 1],
}

impl Phi4 {
    /// Sites along each side of the lattice.
    pub const SIDE: usize = SIDE;

    /// The observables of configurations `[n, 1, 8, 8]`.
    pub fn observables(fields: &Tensor<4>) -> Series {
        let values: Vec<f64> = fields.clone().into_data().iter::<f64>().collect();
        let mut series = Series::default();
        values.chunks_exact(SIDE * SIDE).for_each(|field| series.push(field));
        series
    }

    /// Means over a Metropolis chain of this many sweeps, after a burn-in of a tenth as many.
    pub fn metropolis(&self, sweeps: usize, seed: u64) -> Observables {
        let mut generator = StdRng::seed_from_u64(seed);
        let mut uniform = || (generator.next_u64() >> 11) as f64 / 2f64.powi(53);
        let mut field = vec![0.0; SIDE * SIDE];
        let mut series = Series::default();
        for sweep in 0..sweeps + sweeps / 10 {
            for site in 0..SIDE * SIDE {
                let (row, column) = (site / SIDE, site % SIDE);
                let neighbours = field[(row + 1) % SIDE * SIDE + column]
                    + field[(row + SIDE - 1) % SIDE * SIDE + column]
                    + field[row * SIDE + (column + 1) % SIDE]
                    + field[row * SIDE + (column + SIDE - 1) % SIDE];
                let action = |phi: f64| {
                    let square = phi * phi;
                    -2.0 * self.kappa * phi * neighbours
                        + (1.0 - 2.0 * self.lambda) * square
                        + self.lambda * square * square
                };
                let proposed = field[site] + 3.0 * (uniform() - 0.5);
                if uniform() < (action(field[site]) - action(proposed)).exp() {
                    field[site] = proposed;
                }
            }
            // Both signs are equally likely. Updates of single sites seldom change that of all.
            if uniform() < 0.5 {
                field.iter_mut().for_each(|phi| *phi = -*phi);
            }
            if sweep >= sweeps / 10 {
                series.push(&field);
            }
        }
        Observables {
            magnetisation: batched(&series.magnetisation),
            two_point: series.two_point.each_ref().map(|values| batched(values)),
        }
    }
}

impl Series {
    fn push(&mut self, field: &[f64]) {
        let sites = field.len() as f64;
        self.magnetisation.push((field.iter().sum::<f64>() / sites).abs());
        for (t, values) in self.two_point.iter_mut().enumerate() {
            let product = |site: usize| {
                let (row, column) = (site / SIDE, site % SIDE);
                field[site]
                    * (field[(row + t) % SIDE * SIDE + column]
                        + field[row * SIDE + (column + t) % SIDE])
            };
            values.push((0..field.len()).map(product).sum::<f64>() / (2.0 * sites));
        }
    }
}

/// The mean, with the error of the means of batches.
fn batched(values: &[f64]) -> Estimate {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let length = (values.len() / BATCHES).max(1);
    let means: Vec<f64> = values.chunks_exact(length).map(mean).collect();
    let (centre, n) = (mean(&means), means.len() as f64);
    let variance = means.iter().map(|mean| (mean - centre).powi(2)).sum::<f64>() / (n * (n - 1.0));
    Estimate { value: mean(values), standard_error: variance.sqrt() }
}

/// The lattice moved by one site along an axis.
fn shifted(x: &Tensor<4>, axis: usize) -> Tensor<4> {
    let rest = x.clone().narrow(axis, 1, SIDE - 1);
    Tensor::cat(vec![rest, x.clone().narrow(axis, 0, 1)], axis)
}

impl Target<4> for Phi4 {
    fn log_density(&self, x: Tensor<4>) -> Tensor<1> {
        let n = x.dims()[0];
        let neighbours = shifted(&x, 2) + shifted(&x, 3);
        let square = x.clone().square();
        let action = square.clone().mul_scalar(1.0 - 2.0 * self.lambda)
            + square.square().mul_scalar(self.lambda)
            - (x * neighbours).mul_scalar(2.0 * self.kappa);
        action.reshape([n, SIDE * SIDE]).sum_dim(1).squeeze_dim::<1>(1).neg()
    }
}
