//! Batches for the tests of the kernels.

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::mixture_logistic::cpu::MixtureLogistic;
use crate::kernel::mixture_logistic::cpu::backward::{Backward, ThetaGradient};
use crate::kernel::mixture_logistic::cpu::forward::Forward;
use crate::kernel::mixture_logistic::cpu::inverse::Inverse;
use crate::kernel::mixture_logistic::cpu::linear_space::ExponentLimit;
use crate::kernel::mixture_logistic::cpu::tile::{Batch, Block, n_rows};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

pub const MIN_LOG_SCALE: f64 = -7.0;

/// The range of the elements of a problem.
#[derive(Debug, Clone, Copy)]
pub enum Spread {
    /// As from a network in use.
    Mild,
    /// `|x − μ|` up to 1e6 scales, log-scales from below the clamp to 80, logits within 100.
    Extreme,
}

/// A batch without gaps.
#[derive(Debug, Clone)]
pub struct Problem<T> {
    pub n_examples: usize,
    pub n_dims: usize,
    pub k: usize,
    pub x: Vec<T>,
    pub theta: Vec<T>,
}

impl<T: ExponentLimit> Problem<T> {
    /// A random batch of elements that are exact in f32.
    pub fn draw(n_examples: usize, n_dims: usize, k: usize, spread: Spread, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut normal = move || -> f64 { StandardNormal.sample(&mut rng) };
        let mut rng = StdRng::seed_from_u64(seed + 1);
        let mut uniform = move |low: f64, high: f64| rng.random_range(low..high);
        let rows = n_rows(k);
        let mut x = vec![T::zero(); n_examples * n_dims];
        let mut theta = vec![T::zero(); n_examples * rows * n_dims];
        for (index, x) in x.iter_mut().enumerate() {
            let (example, dim) = (index / n_dims, index % n_dims);
            // One kind of extreme at a time, and all of them at once.
            let kind = match spread {
                Spread::Mild => 0,
                Spread::Extreme => 1 + (uniform(0.0, 5.0) as usize),
            };
            let mut put = |row: usize, value: f64| {
                theta[(example * rows + row) * n_dims + dim] = T::of(f64::from(value as f32));
            };
            put(0, normal());
            put(1, normal());
            for component in 0..k {
                put(
                    2 + component,
                    if kind == 1 || kind == 5 { uniform(-100.0, 100.0) } else { normal() },
                );
                put(2 + k + component, if kind == 2 { 30.0 * normal() } else { normal() });
                let log_scale = match kind {
                    3 => uniform(-9.0, 6.0),
                    4 | 5 => uniform(-9.0, 80.0),
                    _ => 0.5 * normal() - 1.0,
                };
                put(2 + 2 * k + component, log_scale);
            }
            let far = matches!(kind, 2 | 5) && uniform(0.0, 1.0) < 0.5;
            let size = if far { 10f64.powf(uniform(0.0, 6.0)) } else { 1.0 };
            *x = T::of(f64::from((size * normal()) as f32));
        }
        Self { n_examples, n_dims, k, x, theta }
    }

    pub fn batch(&self) -> Batch<'_, T> {
        Batch::contiguous(self.n_examples, self.n_dims, self.k, &self.x, &self.theta)
    }

    pub fn law(&self) -> MixtureLogistic<T> {
        MixtureLogistic::new(self.k, T::of(MIN_LOG_SCALE))
    }

    pub fn block(&self) -> Block {
        Block { examples: 0..self.n_examples, dims: 0..self.n_dims }
    }

    pub fn parameter(&self, index: usize, row: usize) -> f64 {
        let (example, dim) = (index / self.n_dims, index % self.n_dims);
        self.theta[(example * n_rows(self.k) + row) * self.n_dims + dim].to_f64().unwrap()
    }

    pub fn to_f64(&self) -> Problem<f64> {
        let wide = |elements: &[T]| elements.iter().map(|x| x.to_f64().unwrap()).collect();
        Problem {
            n_examples: self.n_examples,
            n_dims: self.n_dims,
            k: self.k,
            x: wide(&self.x),
            theta: wide(&self.theta),
        }
    }

    pub fn forward(&self, set: InstructionSet) -> (Vec<T>, Vec<T>) {
        let (mut z, mut log_derivative) =
            (vec![T::nan(); self.x.len()], vec![T::nan(); self.x.len()]);
        let (law, batch, block) = (self.law(), self.batch(), self.block());
        set.dispatch(Forward { law, batch, block, z: &mut z, log_derivative: &mut log_derivative });
        (z, log_derivative)
    }

    pub fn backward(
        &self,
        set: InstructionSet,
        z_gradient: &[T],
        log_derivative_gradient: &[T],
    ) -> (Vec<T>, Vec<T>) {
        let mut x_gradient = vec![T::nan(); self.x.len()];
        let mut theta_gradient = vec![T::nan(); self.theta.len()];
        set.dispatch(Backward {
            law: self.law(),
            batch: self.batch(),
            block: self.block(),
            z_gradient,
            log_derivative_gradient,
            x_gradient: &mut x_gradient,
            theta_gradient: ThetaGradient::Whole(&mut theta_gradient),
        });
        (x_gradient, theta_gradient)
    }

    /// Points, residuals, and whether they are solutions.
    pub fn solve(&self, set: InstructionSet, z: &[T]) -> (Vec<T>, Vec<T>, Vec<bool>) {
        let mut x = vec![T::nan(); z.len()];
        let mut residual = x.clone();
        let mut solved = vec![false; z.len()];
        let batch = Batch { x: z, ..self.batch() };
        let (law, block) = (self.law(), self.block());
        set.dispatch(Inverse {
            law,
            batch,
            block,
            x: &mut x,
            residual: &mut residual,
            solved: &mut solved,
        });
        (x, residual, solved)
    }
}

pub const SIZES: [(usize, usize); 5] = [(1, 1), (2, 7), (3, 13), (5, 129), (4, 300)];
pub const COMPONENTS: [usize; 4] = [1, 2, 5, 32];

pub fn cases(spread: Spread) -> impl Iterator<Item = (usize, usize, usize, Spread, u64)> {
    SIZES.into_iter().flat_map(move |(n, d)| {
        COMPONENTS.into_iter().map(move |k| (n, d, k, spread, (n * d * k) as u64))
    })
}

/// Samples of a standard normal distribution.
pub fn normal(n: usize, seed: u64) -> Vec<f64> {
    StandardNormal.sample_iter(StdRng::seed_from_u64(seed)).take(n).collect()
}
