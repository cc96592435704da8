//! Distribution function of classes: an element is a class `k` and a place within it.
//! ```text
//! theta = (a_0, …, a_{K−1})                 p = softmax(a),  F(k) = Σ_{j<k} p_j
//! forward   z = F(k) + p_k·(x − k),  k = ⌊x⌋           for 0 ≤ x < K
//! inverse   x = k + (z − F(k))/p_k,  F(k) ≤ z < F(k+1)   for 0 ≤ z < 1
//! log_derivative = ln p_k
//! ```
//! Class `k` is the interval `[k, k + 1)`, which the law maps to an interval of width `p_k`. With
//! a noise that is uniform within the class, as [`IntegerColumns`](crate::IntegerColumns) adds it,
//! and a uniform prior on [0, 1], the density of an element is the probability of its class: for
//! every noise, so the bound of the dequantization is exact.
//!
//! Outside of all classes it is a shift, `z = x` below 0 and `z = x − K + 1` from `K` on. The prior
//! has no mass there, so a class that does not exist has probability 0.
//!
//! # Numerics
//! `ln p_k` is a logarithm of the softmax, to rounding for each finite theta. `F` is a sum of up to
//! `K` terms, at most 1. A class of probability below the machine epsilon may have no value of `z`
//! within its interval, and is then not sampled. A sample is always within its class, where its
//! place has the precision `ε/p_k`.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::CategoricalConfig;
//! use flowkit::{
//!     Density, ElementwiseConfig, Flow, IntegerColumnsConfig, LayerConfig, UniformBoxConfig,
//! };
//!
//! // Three classes; logits of 0 are even odds.
//! let layer = ElementwiseConfig::new(CategoricalConfig::new(3)).with_noise(0.0);
//! let prior = UniformBoxConfig::between(0.0, 1.0);
//! let flow = Flow::build(&layer, prior, [1, 1], &Device::flex())?.without_data();
//! let flow = flow.behind(IntegerColumnsConfig::new(vec![0]).build()?);
//! let classes = Tensor::<2>::from_data([[0.0], [2.0]], &Device::flex());
//! let nats = flow.evaluate(classes)?;
//! assert!((nats.nats()[1] - (1.0f64 / 3.0).ln()).abs() < 1e-6);
//! # Ok::<(), flowkit::Error>(())
//! ```

use burn::module::Module;
use burn::tensor::{Bool, Tensor};

use super::{Law, LawConfig};
use crate::error::ConfigError;
use crate::tensor::float_limits::machine_epsilon;

/// Most classes. Each still has 4096 values of float32 in its interval.
const MOST: usize = 4096;

const NAME: &str = "CategoricalConfig";

config! {
    /// Configuration of [`Categorical`].
    #[derive(Debug)]
    pub struct CategoricalConfig {
        /// Number of classes `K`, 1 to 4096.
        pub n_classes: usize,
    }
}

impl CategoricalConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// No class, or more than 4096.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive(NAME, "n_classes", self.n_classes)?;
        ConfigError::at_most(NAME, "n_classes", self.n_classes, MOST)
    }
}

impl LawConfig for CategoricalConfig {
    type Law = Categorical;

    fn build(&self) -> Result<Categorical, ConfigError> {
        self.validate()?;
        Ok(Categorical { n_classes: self.n_classes })
    }
}

/// Distribution function of classes. The formulas head this module.
#[derive(Module, Debug)]
pub struct Categorical {
    n_classes: usize,
}

impl Categorical {
    /// For each class, whether `holds` of its number and of `k`.
    fn classes(
        &self,
        k: &Tensor<2>,
        holds: impl Fn(Tensor<3>, Tensor<3>) -> Tensor<3, Bool>,
    ) -> Tensor<3, Bool> {
        let [batch, dims] = k.dims();
        let numbers: Vec<f64> = (0..self.n_classes).map(|class| class as f64).collect();
        let numbers = Tensor::<1>::from_data(numbers.as_slice(), (&k.device(), k.dtype()));
        let shape = [batch, self.n_classes, dims];
        let numbers = numbers.reshape([1, self.n_classes, 1]).expand(shape);
        holds(numbers, k.clone().unsqueeze_dim::<3>(1).expand(shape))
    }

    /// `F(k)`, `p_k` and `ln p_k`.
    fn at(&self, k: &Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let sum = |terms: Tensor<3>| terms.sum_dim(1).squeeze_dim::<2>(1);
        let below = self.classes(k, Tensor::lower);
        let other = self.classes(k, Tensor::not_equal);
        let log_p = log_softmax(theta);
        let p = log_p.clone().exp();
        let under = sum(p.clone().mask_fill(below.bool_not(), 0.0));
        let own = sum(p.mask_fill(other.clone(), 0.0));
        let log = sum(log_p.mask_fill(other, 0.0));
        (under, own, log)
    }

    fn check(&self, theta: &Tensor<3>) {
        let (expected, found) = (self.n_classes, theta.dims()[1]);
        assert_eq!(
            found, expected,
            "Categorical: expected {expected} parameters for each element, found {found}"
        );
    }
}

impl Law for Categorical {
    fn n_params(&self) -> usize {
        self.n_classes
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        self.check(&theta);
        let n = self.n_classes as f64;
        let (below, above) = (x.clone().lower_elem(0.0), x.clone().greater_equal_elem(n));
        let outside = below.clone().bool_or(above.clone());
        // No class where there is none, so that nothing infinite enters the sums.
        let inside = x.clone().mask_fill(outside.clone(), 0.0);
        let k = inside.clone().detach().floor();
        let (under, own, log_derivative) = self.at(&k, theta);
        let z = under + own * (inside - k);
        // Only a rounding of the sum leads above 1.
        let over = z.clone().greater_elem(1.0);
        let z = z.mask_fill(over, 1.0);
        let z = z.mask_where(below, x.clone()).mask_where(above, x.sub_scalar(n - 1.0));
        (z, log_derivative.mask_fill(outside, 0.0))
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        self.check(&theta);
        let n = self.n_classes as f64;
        let (below, above) = (z.clone().lower_elem(0.0), z.clone().greater_elem(1.0));
        let outside = below.clone().bool_or(above.clone());
        let inside = z.clone().mask_fill(outside, 0.0);
        // The last class whose interval begins at z or below it.
        let p = log_softmax(theta.clone()).exp();
        let begins = p.clone().cumsum(1) - p;
        let reached = begins.lower_equal(inside.clone().unsqueeze_dim::<3>(1).expand(theta.dims()));
        let k = reached.float().cast(z.dtype()).sum_dim(1).squeeze_dim::<2>(1).sub_scalar(1.0);
        let k = k.clamp(0.0, n - 1.0);
        let (under, own, _) = self.at(&k, theta);
        // The sums round differently, so the quotient may leave [0, 1) by a rounding. A class of
        // width 0 has a single point.
        let tiny = machine_epsilon(z.dtype()).powi(2);
        let place = ((inside - under) / own.clamp_min(tiny)).clamp(0.0, 1.0);
        let next = k.clone().add_scalar(1.0);
        // The largest value of the type below the next class.
        let last = next.clone() - next.mul_scalar(0.5 * machine_epsilon(z.dtype()));
        let x = (k + place).min_pair(last);
        // No comparison finds NaN.
        let x = x.mask_where(below.bool_or(z.clone().is_nan()), z.clone());
        x.mask_where(above, z.add_scalar(n - 1.0))
    }
}

/// Logarithms of the probabilities of the classes. The largest term of the sum is 1.
fn log_softmax(theta: Tensor<3>) -> Tensor<3> {
    let largest = theta.clone().detach().max_dim(1);
    let shifted = theta - largest;
    shifted.clone() - shifted.exp().sum_dim(1).log()
}
