//! Increasing Bernstein polynomial on [−B, B], continued by straight lines.
//! ```text
//! theta = (s, v_1..v_n)                       n: the degree
//! m_j = m_min + ln(1 + exp(v_j + v₀))         slopes; v₀ is such that m = 1 at v = 0
//! α_j = s − B/n·Σ_i m_i + 2B/n·Σ_i≤j m_i      coefficients 0..n, which increase
//! b_j,n(τ) = C(n, j)·τ^j·(1 − τ)^(n−j),       τ = (x + B)/2B
//! forward   z = Σ_j α_j·b_j,n(τ)              on [−B, B]
//!           z = α_0 + m_1·(x + B)  below,     z = α_n + m_n·(x − B)  above
//! log_derivative   ln Σ_j m_j·b_j−1,n−1(τ)    on [−B, B], ln m_1 below, ln m_n above
//! inverse   the x in [−B, B] with z(x) = z, by a bracketed search; closed form outside
//! ```
//! The slope at `x` is an average of the `m_j`, weighted by a polynomial of degree `n − 1`: it lies
//! between the smallest and the largest of them. At the ends it is `m_1` and `m_n`, so the lines
//! continue value and slope, and the law maps onto all real numbers. `s` is the middle between the
//! images of −B and B. At theta = 0 the law is the identity, since a Bernstein polynomial with
//! coefficients at equal distances is a straight line. It has `n + 1` parameters.
//!
//! # Numerics
//! All sums of the slope have positive terms. The value is computed as
//! `x + Σ_j (α_j − α°_j)·b_j,n`, where `α°` are the coefficients of the identity, so its rounding
//! is that of the deviation from `x`. At theta = 0 nothing is added. `m_min` bounds the slope from
//! below, also that of the lines; it has no upper bound. Powers of `τ` that underflow belong to
//! terms below 1e-19 of the largest, since `C(64, 32)` is 2e18; hence the limit of the degree.
//!
//! The search is that of [`root`](crate::tensor::root), within the exact bracket [−B, B], until the
//! residual is a rounding of `z`. Gradients of the inverse are those of the implicit function
//! theorem. Half types compute in float32.
//!
//! # Cost
//! `O(batch·n·dims)` for either output; memory of the graph: three tensors of that size. The
//! inverse evaluates the law 8 times for each round of the search, mostly one to three.
//!
//! # Reference
//! Sick et al. 2020, *Deep Transformation Models*; Ramasinghe et al. 2021, *Robust Normalizing
//! Flows Using Bernstein-Type Polynomials*. Differs: coefficients are anchored at their middle
//! instead of the first one, and increments have a minimum.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::{BernsteinConfig, Law, LawConfig};
//!
//! let law = BernsteinConfig::new(2).build()?;
//! let device = Device::flex();
//! // Slopes 1 at −3 and softplus(2 + ...) at 3: a parabola between them.
//! let theta = Tensor::<3>::from_data([[[0.0], [0.0], [2.0]]], &device);
//! let x = Tensor::<2>::from_data([[-3.0], [0.5], [10.0]], &device);
//! let (z, log_derivative) = law.forward(x.clone(), theta.clone().expand([3, 3, 1]));
//! assert!(log_derivative.into_data().iter::<f32>().next().unwrap().abs() < 1e-6);
//! let back = law.inverse(z, theta.expand([3, 3, 1]));
//! back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use super::{Law, LawConfig};
use crate::error::ConfigError;
use crate::tensor::channels::channel;
use crate::tensor::dtype::{cast, wide};
use crate::tensor::float_limits::machine_epsilon;
use crate::tensor::root::{Search, implicit};
use crate::tensor::smooth::softplus;

/// Largest degree, for which `C(n, n/2)` times the smallest float32 number is negligible.
const MOST_DEGREE: usize = 64;

config! {
    /// Configuration of [`Bernstein`].
    #[derive(Debug)]
    pub struct BernsteinConfig {
        /// Degree `n` of the polynomial, from 1 to 64. Degree 1 is an affine law.
        pub degree: usize,
        /// `B`: the polynomial acts within ±B.
        pub bound: f64 = 3.0,
        /// Smallest slope `m_min`.
        pub min_slope: f64 = 1e-3,
    }
}

impl BernsteinConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "BernsteinConfig";
        ConfigError::counted(NAME, "degree", self.degree, MOST_DEGREE)?;
        let out_of_range = |field, range, found| {
            Err(ConfigError::OutOfRange { config: NAME, field, range, found })
        };
        if !(1e-3..=1e6).contains(&self.bound) {
            return out_of_range("bound", "[1e-3, 1e6]", self.bound);
        }
        if !(1e-6..1.0).contains(&self.min_slope) {
            return out_of_range("min_slope", "[1e-6, 1)", self.min_slope);
        }
        Ok(())
    }
}

impl LawConfig for BernsteinConfig {
    type Law = Bernstein;

    fn build(&self) -> Result<Bernstein, ConfigError> {
        self.validate()?;
        let Self { degree, bound, min_slope } = *self;
        Ok(Bernstein { degree, bound, min_slope })
    }
}

/// Increasing Bernstein polynomial. The formulas head this module.
#[derive(Module, Debug)]
pub struct Bernstein {
    degree: usize,
    bound: f64,
    min_slope: f64,
}

/// What theta means.
struct Coefficients {
    /// `α_j − α°_j`, `[batch, n + 1, dims]`.
    deviations: Tensor<3>,
    /// `m_j`, `[batch, n, dims]`.
    slopes: Tensor<3>,
}

/// The polynomials of one set of elements, without a graph.
struct Basis {
    /// `x`, held within ±B.
    inner: Tensor<2>,
    /// `τ^j` for `j` from 0 to `n`, `[batch, n + 1, dims]`.
    powers: Tensor<3>,
    /// `(1 − τ)^(n−j)`, `[batch, n + 1, dims]`.
    rests: Tensor<3>,
}

impl Basis {
    /// `b_j,d(τ)` for `j` from 0 to `d`, `[batch, d + 1, dims]`.
    fn of_degree(&self, d: usize) -> Tensor<3> {
        let n = self.powers.dims()[1] - 1;
        let mut binomials = vec![1.0];
        for j in 1..=d {
            binomials.push(binomials[j - 1] * (d + 1 - j) as f64 / j as f64);
        }
        let like = (&self.powers.device(), self.powers.dtype());
        let binomials = Tensor::<3>::from_data(TensorData::new(binomials, [1, d + 1, 1]), like);
        let powers = self.powers.clone().narrow(1, 0, d + 1);
        powers * binomials * self.rests.clone().narrow(1, n - d, d + 1)
    }
}

impl Bernstein {
    fn coefficients(&self, theta: Tensor<3>) -> Coefficients {
        let [batch, found, dims] = theta.dims();
        let (n, expected) = (self.degree, self.n_params());
        assert_eq!(
            found, expected,
            "Bernstein: expected {expected} parameters for each element, found {found}"
        );
        let shift = theta.clone().narrow(1, 0, 1);
        // The `v₀` for which the slope is 1 at `v = 0`.
        let v = theta.narrow(1, 1, n).add_scalar((1.0 - self.min_slope).exp_m1().ln());
        // Positive: softplus is at least 0 and `min_slope` is above 0.
        let slopes = softplus(v).add_scalar(self.min_slope);
        let excess = slopes.clone().sub_scalar(1.0);
        let sums = excess.clone().cumsum(1).mul_scalar(2.0 * self.bound / n as f64);
        let zero = Tensor::zeros([batch, 1, dims], (&sums.device(), sums.dtype()));
        let first = shift - excess.sum_dim(1).mul_scalar(self.bound / n as f64);
        Coefficients { deviations: Tensor::cat(vec![zero, sums], 1) + first, slopes }
    }

    fn basis(&self, x: Tensor<2>) -> Basis {
        // NaN stays NaN.
        let inner = x.clamp(-self.bound, self.bound);
        let scale = 1.0 / (2.0 * self.bound);
        let tau = inner.clone().add_scalar(self.bound).mul_scalar(scale);
        let rest = inner.clone().neg().add_scalar(self.bound).mul_scalar(scale);
        // No graph holds these products, so they need no closed form of their gradient.
        let powers = |of: Tensor<2>| {
            let of = of.unsqueeze_dim::<3>(1);
            let mut powers = vec![of.ones_like()];
            for j in 0..self.degree {
                powers.push(powers[j].clone() * of.clone());
            }
            powers
        };
        let mut rests = powers(rest);
        rests.reverse();
        Basis { inner, powers: Tensor::cat(powers(tau), 1), rests: Tensor::cat(rests, 1) }
    }

    /// `z` and the slope. A graph reaches `x` through the first derivatives of both.
    fn evaluate(&self, x: Tensor<2>, of: &Coefficients) -> (Tensor<2>, Tensor<2>) {
        let n = self.degree;
        let sum = |terms: Tensor<3>| terms.sum_dim(1).squeeze_dim::<2>(1);
        let basis = self.basis(x.clone().inner());
        let slope = sum(of.slopes.clone() * basis.of_degree(n - 1));
        // Exactly 0 inside, where it carries the gradient of `x`.
        let beyond = x.clone() - basis.inner.clone();
        let deviation = sum(of.deviations.clone() * basis.of_degree(n));
        let z = basis.inner.clone() + deviation + beyond.clone() * slope.clone();
        if n == 1 || !x.is_autodiff() {
            return (z, slope);
        }
        let slopes = of.slopes.clone().detach();
        let steps = slopes.clone().narrow(1, 1, n - 1) - slopes.narrow(1, 0, n - 1);
        let bend = sum(steps * basis.of_degree(n - 2));
        let outside = x.detach().abs().greater_elem(self.bound);
        let bend = bend.mul_scalar((n - 1) as f64 / (2.0 * self.bound));
        (z, slope + beyond.mask_fill(outside, 0.0) * bend)
    }

    /// [`Law::inverse`] without a graph.
    fn solve(&self, z: Tensor<2>, of: &Coefficients) -> Tensor<2> {
        let n = self.degree;
        let end = |index: usize, bound: f64| channel(&of.deviations, index).add_scalar(bound);
        let (low, high) = (end(0, -self.bound), end(n, self.bound));
        let (left, right) = (channel(&of.slopes, 0), channel(&of.slopes, n - 1));
        let (below, above) = (z.clone().lower(low.clone()), z.clone().greater(high.clone()));
        let under = ((z.clone() - low.clone()) / left).sub_scalar(self.bound);
        let over = ((z.clone() - high.clone()) / right).add_scalar(self.bound);
        // Outside there is nothing to search for: the target is an end, which the bracket holds.
        let target = z
            .clone()
            .mask_where(below.clone(), low.clone())
            .mask_where(above.clone(), high.clone());
        let size = low.abs().max_pair(high.abs());
        let search = Search {
            low: z.zeros_like().sub_scalar(self.bound),
            high: z.zeros_like().add_scalar(self.bound),
            tolerance: size.mul_scalar(machine_epsilon(z.dtype())),
            target,
        };
        let found = search.solve(|x| {
            let (z, slope) = self.evaluate(x, of);
            (z, slope.log())
        });
        let x = found.x.mask_fill(found.solved.bool_not(), f32::NAN);
        x.mask_where(below, under).mask_where(above, over)
    }
}

impl Law for Bernstein {
    fn n_params(&self) -> usize {
        self.degree + 1
    }

    fn is_affine(&self) -> bool {
        self.degree == 1
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let dtype = x.dtype();
        let coefficients = self.coefficients(cast(theta, wide(dtype)));
        let (z, slope) = self.evaluate(cast(x, wide(dtype)), &coefficients);
        (cast(z, dtype), cast(slope.log(), dtype))
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        let dtype = z.dtype();
        let (z, theta) = (cast(z, wide(dtype)), cast(theta, wide(dtype)));
        let x = self.solve(z.clone().inner(), &self.coefficients(theta.clone().inner()));
        if !z.is_autodiff() && !theta.is_autodiff() {
            return cast(x, dtype);
        }
        let (reached, slope) = self.evaluate(x.clone(), &self.coefficients(theta));
        cast(implicit(x, z, reached, slope.log()), dtype)
    }
}
